"""Loaded by Ansible, by path."""
