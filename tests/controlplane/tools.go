//go:build tools

// Keeps the generator of the OpenAPI definitions in go.mod.
package tools

import _ "k8s.io/kube-openapi/cmd/openapi-gen"
