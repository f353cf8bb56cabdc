"""The Pulumi resource provider process, `pulumi-resource-itmp`."""
