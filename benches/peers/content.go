package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"slices"

	// the messages that content may have
	_ "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// servedTypes are the types that content may have, in the order in which they go to an Envoy.
var servedTypes = []resourcev3.Type{
	resourcev3.ClusterType,
	resourcev3.EndpointType,
	resourcev3.ListenerType,
	resourcev3.RouteType,
}

// content is what a recorded file says: who has what, and what can change.
type content struct {
	nodes   []node
	changes []change
}

type node struct {
	id        string
	resources []*resource
}

// change is a group of variants, of which one is served at a time; at first it is that of number 0.
type change struct {
	name     string
	variants [][]assignment
}

// assignment gives a node, by index, a resource instead of the one of the same type and name.
type assignment struct {
	node     int
	resource *resource
}

// resource exists once, however many nodes have it, so that equal resources are equal pointers.
type resource struct {
	place
	message proto.Message
	// hash is what the caches give as the version of the resource over delta
	hash string
	// digest is of the place and the recorded version
	digest uint64
}

// place is what at most one resource of a node has.
type place struct {
	typeURL, name string
}

// recordedResource, recordedNode and recordedChange are the elements of the file.
type recordedResource struct {
	TypeURL string `json:"type_url"`
	Name    string `json:"name"`
	Version string `json:"version"`
	Body    []byte `json:"body"`
}

type recordedNode struct {
	ID        string `json:"id"`
	Resources []int  `json:"resources"`
}

type recordedChange struct {
	Name     string `json:"name"`
	Variants [][]struct {
		Node     int `json:"node"`
		Resource int `json:"resource"`
	} `json:"variants"`
}

// readContent decodes a file element by element and parses each message once.
func readContent(reader io.Reader) (*content, error) {
	var (
		resources []*resource
		nodes     []recordedNode
		changes   []recordedChange
		known     = make(map[recordedKey]*resource)
	)
	decoder := json.NewDecoder(reader)
	err := eachMember(decoder, func(member string) error {
		switch member {
		case "resources":
			return eachElement(decoder, func(recorded recordedResource) error {
				resource, err := parseResource(recorded, known)
				if err != nil {
					return fmt.Errorf("resource %d: %w", len(resources), err)
				}
				resources = append(resources, resource)
				return nil
			})
		case "nodes":
			return decoder.Decode(&nodes)
		case "changes":
			return decoder.Decode(&changes)
		default:
			return fmt.Errorf("%q is not known", member)
		}
	})
	if err != nil {
		return nil, err
	}
	return resolve(resources, nodes, changes)
}

// recordedKey is what tells recorded resources apart.
type recordedKey struct {
	place
	version string
}

func parseResource(recorded recordedResource, known map[recordedKey]*resource) (*resource, error) {
	if !slices.Contains(servedTypes, recorded.TypeURL) {
		return nil, fmt.Errorf("type %q is not served", recorded.TypeURL)
	}
	if recorded.Name == "" || recorded.Version == "" {
		return nil, errors.New("name and version must not be empty")
	}
	messageType, err := protoregistry.GlobalTypes.FindMessageByURL(recorded.TypeURL)
	if err != nil {
		return nil, err
	}
	message := messageType.New().Interface()
	if err := proto.Unmarshal(recorded.Body, message); err != nil {
		return nil, fmt.Errorf("%s: %w", recorded.Name, err)
	}
	if name := cache.GetResourceName(message); name != recorded.Name {
		return nil, fmt.Errorf("its name is %q, the name in its body %q", recorded.Name, name)
	}
	encoded, err := cache.MarshalResource(message)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", recorded.Name, err)
	}
	hash := cache.HashResource(encoded)

	key := recordedKey{place{recorded.TypeURL, recorded.Name}, recorded.Version}
	if same, ok := known[key]; ok {
		if same.hash != hash {
			return nil, fmt.Errorf("%s has two bodies with version %q", recorded.Name, recorded.Version)
		}
		return same, nil
	}
	digest := fnv.New64a()
	fmt.Fprintf(digest, "%s\n%s\n%s", recorded.TypeURL, recorded.Name, recorded.Version)
	known[key] = &resource{key.place, message, hash, digest.Sum64()}
	return known[key], nil
}

// resolve turns indices into pointers and checks what the caches rely on.
func resolve(resources []*resource, nodes []recordedNode, changes []recordedChange) (*content, error) {
	resolved := &content{}
	ids := make(map[string]bool, len(nodes))
	initial := make([]map[place]*resource, len(nodes))
	for index, recorded := range nodes {
		if recorded.ID == "" || ids[recorded.ID] {
			return nil, fmt.Errorf("node %d: id %q is empty or not the first", index, recorded.ID)
		}
		ids[recorded.ID] = true
		initial[index] = make(map[place]*resource, len(recorded.Resources))
		node := node{id: recorded.ID}
		for _, number := range recorded.Resources {
			if number < 0 || number >= len(resources) {
				return nil, fmt.Errorf("node %d: there is no resource %d", index, number)
			}
			resource := resources[number]
			if initial[index][resource.place] != nil {
				return nil, fmt.Errorf("node %d: has %s twice", index, resource.name)
			}
			initial[index][resource.place] = resource
			node.resources = append(node.resources, resource)
		}
		resolved.nodes = append(resolved.nodes, node)
	}

	for index, recorded := range changes {
		change := change{name: recorded.Name}
		for number, assignments := range recorded.Variants {
			variant := make([]assignment, 0, len(assignments))
			for _, entry := range assignments {
				if entry.Node < 0 || entry.Node >= len(nodes) {
					return nil, fmt.Errorf("change %d, variant %d: there is no node %d", index, number, entry.Node)
				}
				if entry.Resource < 0 || entry.Resource >= len(resources) {
					return nil, fmt.Errorf("change %d, variant %d: there is no resource %d", index, number, entry.Resource)
				}
				variant = append(variant, assignment{entry.Node, resources[entry.Resource]})
			}
			change.variants = append(change.variants, variant)
		}
		if err := checkVariants(change.variants, initial); err != nil {
			return nil, fmt.Errorf("change %d: %w", index, err)
		}
		resolved.changes = append(resolved.changes, change)
	}
	return resolved, nil
}

// checkVariants makes sure that any variant takes the place of any other: all assign the same places of the same nodes,
// and the first assigns what the nodes have anyway.
func checkVariants(variants [][]assignment, initial []map[place]*resource) error {
	type nodePlace struct {
		node int
		place
	}
	if len(variants) == 0 {
		return errors.New("has no variants")
	}
	assigned := make(map[nodePlace]bool, len(variants[0]))
	for _, assignment := range variants[0] {
		if initial[assignment.node][assignment.resource.place] != assignment.resource {
			return fmt.Errorf("variant 0 is not what node %d has of %s", assignment.node, assignment.resource.name)
		}
		assigned[nodePlace{assignment.node, assignment.resource.place}] = true
	}
	for number, variant := range variants {
		seen := make(map[nodePlace]bool, len(variant))
		for _, assignment := range variant {
			where := nodePlace{assignment.node, assignment.resource.place}
			if !assigned[where] {
				return fmt.Errorf("variant %d changes %s of node %d, variant 0 does not", number, where.name, where.node)
			}
			seen[where] = true
		}
		if len(seen) != len(assigned) || len(seen) != len(variant) {
			return fmt.Errorf("variant %d does not change once each what variant 0 does", number)
		}
	}
	return nil
}

// eachMember calls handle with the name of every member of the object that comes next; handle reads the value.
func eachMember(decoder *json.Decoder, handle func(name string) error) error {
	if err := expect(decoder, '{'); err != nil {
		return err
	}
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return err
		}
		name := token.(string)
		if err := handle(name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return expect(decoder, '}')
}

// eachElement calls handle with every element of the array that comes next.
func eachElement[T any](decoder *json.Decoder, handle func(T) error) error {
	if err := expect(decoder, '['); err != nil {
		return err
	}
	for decoder.More() {
		var element T
		if err := decoder.Decode(&element); err != nil {
			return err
		}
		if err := handle(element); err != nil {
			return err
		}
	}
	return expect(decoder, ']')
}

func expect(decoder *json.Decoder, delim json.Delim) error {
	token, err := decoder.Token()
	if err != nil {
		return err
	}
	if token != delim {
		return fmt.Errorf("found %v instead of %v", token, delim)
	}
	return nil
}
