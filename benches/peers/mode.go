package main

import (
	"fmt"

	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
)

// wildcardTypes are those of which an Envoy takes all that there is, namedTypes those that it asks for by name.
var (
	wildcardTypes = []resourcev3.Type{resourcev3.ClusterType, resourcev3.ListenerType}
	namedTypes    = []resourcev3.Type{resourcev3.EndpointType, resourcev3.RouteType}
)

// backend is the content in caches of go-control-plane.
type backend interface {
	// cache is what an xDS server serves.
	cache() cache.Cache
	// prepare does what can be done ahead of a change; what it returns makes the change. Only one change is made
	// at a time.
	prepare(variant []assignment) func() error
}

func newBackend(mode string, content *content) (backend, error) {
	switch mode {
	case "mix":
		return newMix(content)
	case "linear":
		return newLinears(content, servedTypes), nil
	case "snapshot":
		return newSnapshots(content, servedTypes)
	default:
		return nil, fmt.Errorf("mode %q is none of mix, linear, snapshot", mode)
	}
}
