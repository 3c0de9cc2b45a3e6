//go:build tools

// Package kubernetes also pins upstream's end-to-end tests, the image's program that they call, and their runner.
package main

import (
	_ "github.com/onsi/ginkgo/v2/ginkgo"
	_ "k8s.io/kubernetes/test/e2e"
	_ "k8s.io/kubernetes/test/images/agnhost"
)
