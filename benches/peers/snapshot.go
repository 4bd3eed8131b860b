package main

import (
	"context"
	"maps"
	"slices"
	"strconv"

	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
)

// snapshots is a SnapshotCache with what each node has of some types.
type snapshots struct {
	types   []resourcev3.Type
	nodes   []node
	current []snapshot
	served  cache.SnapshotCache
}

func newSnapshots(content *content, typeURLs []resourcev3.Type) (*snapshots, error) {
	s := &snapshots{
		types:   typeURLs,
		nodes:   content.nodes,
		current: make([]snapshot, len(content.nodes)),
		served:  cache.NewSnapshotCache(true, cache.IDHash{}, nil),
	}
	empty := newSnapshot(typeURLs)
	for index, node := range content.nodes {
		if err := s.set(index, empty.with(s.relevant(node.resources))); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *snapshots) cache() cache.Cache {
	return s.served
}

func (s *snapshots) prepare(variant []assignment) func() error {
	byNode := make(map[int][]*resource)
	for _, assignment := range variant {
		if slices.Contains(s.types, assignment.resource.typeURL) {
			byNode[assignment.node] = append(byNode[assignment.node], assignment.resource)
		}
	}
	order := slices.Sorted(maps.Keys(byNode))
	return func() error {
		for _, index := range order {
			if err := s.set(index, s.current[index].with(byNode[index])); err != nil {
				return err
			}
		}
		return nil
	}
}

func (s *snapshots) set(index int, snapshot snapshot) error {
	s.current[index] = snapshot
	return s.served.SetSnapshot(context.Background(), s.nodes[index].id, snapshot)
}

func (s *snapshots) relevant(resources []*resource) []*resource {
	var relevant []*resource
	for _, resource := range resources {
		if slices.Contains(s.types, resource.typeURL) {
			relevant = append(relevant, resource)
		}
	}
	return relevant
}

// snapshot is what a node has, by type, and never changes. go-control-plane's own Snapshot would encode and hash all its
// resources again for each change, and copy a map for each watch; this has ready what the cache asks for.
type snapshot map[resourcev3.Type]*collection

var _ cache.ResourceSnapshot = snapshot{}

// newSnapshot is one with nothing of the types.
func newSnapshot(typeURLs []resourcev3.Type) snapshot {
	s := make(snapshot, len(typeURLs))
	for _, typeURL := range typeURLs {
		s[typeURL] = &collection{
			members:   make(map[string]*resource),
			resources: make(map[string]types.Resource),
			withTTL:   make(map[string]types.ResourceWithTTL),
			versions:  make(map[string]string),
		}
	}
	return s
}

// with is the snapshot with other resources in their places; it shares the types that do not change.
func (s snapshot) with(resources []*resource) snapshot {
	next := maps.Clone(s)
	for _, resource := range resources {
		if next[resource.typeURL] == s[resource.typeURL] {
			next[resource.typeURL] = s[resource.typeURL].clone()
		}
		next[resource.typeURL].put(resource)
	}
	return next
}

func (s snapshot) GetVersion(typeURL string) string {
	if collection := s[typeURL]; collection != nil {
		return collection.version
	}
	return ""
}

func (s snapshot) GetResourcesAndTTL(typeURL string) map[string]types.ResourceWithTTL {
	if collection := s[typeURL]; collection != nil {
		return collection.withTTL
	}
	return nil
}

func (s snapshot) GetResources(typeURL string) map[string]types.Resource {
	if collection := s[typeURL]; collection != nil {
		return collection.resources
	}
	return nil
}

// ConstructVersionMap has nothing to do: the hashes are known.
func (s snapshot) ConstructVersionMap() error {
	return nil
}

func (s snapshot) GetVersionMap(typeURL string) map[string]string {
	if collection := s[typeURL]; collection != nil {
		return collection.versions
	}
	return nil
}

// collection is what a node has of a type, by name, in each form in which the cache asks for it.
type collection struct {
	members   map[string]*resource
	resources map[string]types.Resource
	withTTL   map[string]types.ResourceWithTTL
	versions  map[string]string
	// version follows from the versions of the members, in whatever order they came
	version string
	digest  uint64
}

func (c *collection) clone() *collection {
	return &collection{
		members:   maps.Clone(c.members),
		resources: maps.Clone(c.resources),
		withTTL:   maps.Clone(c.withTTL),
		versions:  maps.Clone(c.versions),
		version:   c.version,
		digest:    c.digest,
	}
}

func (c *collection) put(resource *resource) {
	if former := c.members[resource.name]; former != nil {
		c.digest -= former.digest
	}
	c.digest += resource.digest
	c.version = strconv.FormatUint(c.digest, 16)
	c.members[resource.name] = resource
	c.resources[resource.name] = resource.message
	c.withTTL[resource.name] = types.ResourceWithTTL{Resource: resource.message}
	c.versions[resource.name] = resource.hash
}
