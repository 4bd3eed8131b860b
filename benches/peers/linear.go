package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
)

// linears are LinearCaches of some types. A LinearCache has one content for a name, whoever asks, and all requests of a
// stream for a type have to go to the same one. So the nodes that agree on a type share a cache, in which a changed
// resource is encoded once for all of them; where each node has a content of its own, each has its own cache.
type linears struct {
	// keys are those of the groups, by type and node id
	keys   map[resourcev3.Type]map[string]string
	groups map[string]*group
	// byNode are the groups of each node, by type
	byNode []map[resourcev3.Type]*group
	types  []resourcev3.Type
}

// group is a cache and the nodes, which it does not name, that agree on what is in it.
type group struct {
	cache   *cache.LinearCache
	members map[string]*resource
}

func newLinears(content *content, typeURLs []resourcev3.Type) *linears {
	l := &linears{
		keys:   make(map[resourcev3.Type]map[string]string),
		groups: make(map[string]*group),
		byNode: make([]map[resourcev3.Type]*group, len(content.nodes)),
		types:  typeURLs,
	}
	for index := range content.nodes {
		l.byNode[index] = make(map[resourcev3.Type]*group)
	}
	signatures := newSignatures(content)
	for _, typeURL := range typeURLs {
		l.keys[typeURL] = make(map[string]string)
		numbers := make(map[string]int)
		for index, node := range content.nodes {
			signature := signatures.of(index, typeURL)
			if _, ok := numbers[signature]; !ok {
				numbers[signature] = len(numbers)
			}
			key := fmt.Sprintf("%s/%d", typeURL, numbers[signature])
			if l.groups[key] == nil {
				l.groups[key] = &group{members: make(map[string]*resource)}
			}
			l.keys[typeURL][node.id] = key
			l.byNode[index][typeURL] = l.groups[key]
			for _, resource := range node.resources {
				if resource.typeURL == typeURL {
					l.groups[key].members[resource.name] = resource
				}
			}
		}
		for _, key := range l.keys[typeURL] {
			if group := l.groups[key]; group.cache == nil {
				group.cache = cache.NewLinearCache(typeURL, cache.WithInitialResources(messages(group.members)))
			}
		}
	}
	return l
}

func (l *linears) cache() cache.Cache {
	return newMux(l.caches(), l.key)
}

func (l *linears) caches() map[string]cache.Cache {
	caches := make(map[string]cache.Cache, len(l.groups))
	for key, group := range l.groups {
		caches[key] = group.cache
	}
	return caches
}

// key names the cache of a node; for a node that is not known it names none, which ends the stream.
func (l *linears) key(nodeID, typeURL string) string {
	if key, ok := l.keys[typeURL][nodeID]; ok {
		return key
	}
	return fmt.Sprintf("%s of node %q", typeURL, nodeID)
}

func (l *linears) prepare(variant []assignment) func() error {
	type update struct {
		group   *group
		members map[string]*resource
	}
	var updates []update
	for _, typeURL := range l.types {
		numbers := make(map[*group]int)
		for _, assignment := range variant {
			if assignment.resource.typeURL != typeURL {
				continue
			}
			group := l.byNode[assignment.node][typeURL]
			number, ok := numbers[group]
			if !ok {
				number = len(updates)
				numbers[group] = number
				updates = append(updates, update{group, make(map[string]*resource)})
			}
			updates[number].members[assignment.resource.name] = assignment.resource
		}
	}
	return func() error {
		for _, update := range updates {
			if err := update.group.update(update.members); err != nil {
				return err
			}
		}
		return nil
	}
}

// update puts what differs into the cache, all at once.
func (g *group) update(members map[string]*resource) error {
	changed := make(map[string]types.Resource, len(members))
	for name, resource := range members {
		if g.members[name] != resource {
			g.members[name] = resource
			changed[name] = resource.message
		}
	}
	if len(changed) == 0 {
		return nil
	}
	return g.cache.UpdateResources(changed, nil)
}

func messages(members map[string]*resource) map[string]types.Resource {
	messages := make(map[string]types.Resource, len(members))
	for name, resource := range members {
		messages[name] = resource.message
	}
	return messages
}

// signatures tell which nodes may share a cache of a type: those that have the same one.
type signatures struct {
	// courses are all that ever is in the places of each node, as text
	courses []map[place]string
	// disputed are the places for which the courses of nodes differ
	disputed map[place]bool
}

func newSignatures(content *content) *signatures {
	s := &signatures{
		courses:  make([]map[place]string, len(content.nodes)),
		disputed: make(map[place]bool),
	}
	builders := make([]map[place]*strings.Builder, len(content.nodes))
	for index, node := range content.nodes {
		builders[index] = make(map[place]*strings.Builder, len(node.resources))
		for _, resource := range node.resources {
			builders[index][resource.place] = &strings.Builder{}
			fmt.Fprintf(builders[index][resource.place], "%p", resource)
		}
	}
	for number, change := range content.changes {
		for variant, assignments := range change.variants {
			for _, assignment := range assignments {
				builder := builders[assignment.node][assignment.resource.place]
				fmt.Fprintf(builder, " %d/%d:%p", number, variant, assignment.resource)
			}
		}
	}
	first := make(map[place]string)
	for index := range content.nodes {
		s.courses[index] = make(map[place]string, len(builders[index]))
		for place, builder := range builders[index] {
			course := builder.String()
			s.courses[index][place] = course
			if known, ok := first[place]; ok && known != course {
				s.disputed[place] = true
			}
			first[place] = course
		}
	}
	return s
}

// of is the signature of a node for a type. An Envoy that takes all that there is shares a cache only with its like;
// one that asks by name also with those that have other names.
func (s *signatures) of(index int, typeURL string) string {
	all := slices.Contains(wildcardTypes, typeURL)
	var parts []string
	for place, course := range s.courses[index] {
		if place.typeURL == typeURL && (all || s.disputed[place]) {
			parts = append(parts, place.name+" "+course)
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, "\n")
}
