//go:build tools

// Package provider pins the AWS provider of Terraform.
package provider

import (
	_ "github.com/terraform-providers/terraform-provider-aws"
)
