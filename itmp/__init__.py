"""itmp: approved, provable runs of Ansible and Pulumi."""
