//go:build tools

// Package terraform pins Terraform, which the local VPC is tried with.
package terraform

import (
	_ "github.com/hashicorp/terraform"
)
