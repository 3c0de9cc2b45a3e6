//go:build tools

// Package peers pins the programs that the benchmark measures against.
package peers

import (
	_ "github.com/containernetworking/plugins/plugins/ipam/host-local"
	_ "github.com/containernetworking/plugins/plugins/main/ptp"
)
