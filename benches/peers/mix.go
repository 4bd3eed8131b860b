package main

import (
	"errors"
	"slices"

	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
)

// mix keeps each type in the cache that is made for it: a snapshot for each node of what Envoys take as a whole, and
// linear caches of what they ask for by name.
type mix struct {
	snapshots *snapshots
	linears   *linears
	mux       *cache.MuxCache
}

func newMix(content *content) (*mix, error) {
	snapshots, err := newSnapshots(content, wildcardTypes)
	if err != nil {
		return nil, err
	}
	linears := newLinears(content, namedTypes)

	const snapshotsKey = "snapshots"
	caches := linears.caches()
	caches[snapshotsKey] = snapshots.cache()
	return &mix{snapshots, linears, newMux(caches, func(nodeID, typeURL string) string {
		if slices.Contains(wildcardTypes, typeURL) {
			return snapshotsKey
		}
		return linears.key(nodeID, typeURL)
	})}, nil
}

func (m *mix) cache() cache.Cache {
	return m.mux
}

func (m *mix) prepare(variant []assignment) func() error {
	snapshots := m.snapshots.prepare(variant)
	linears := m.linears.prepare(variant)
	return func() error {
		return errors.Join(snapshots(), linears())
	}
}

func newMux(caches map[string]cache.Cache, key func(nodeID, typeURL string) string) *cache.MuxCache {
	return &cache.MuxCache{
		Classify: func(request *cache.Request) string {
			return key(request.GetNode().GetId(), request.GetTypeUrl())
		},
		ClassifyDelta: func(request *cache.DeltaRequest) string {
			return key(request.GetNode().GetId(), request.GetTypeUrl())
		},
		Caches: caches,
	}
}
