package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/protobuf/proto"
)

// recording is a file to be.
type recording struct {
	Resources []recordedResource `json:"resources"`
	Nodes     []recordedNode     `json:"nodes"`
	Changes   []recordedChange   `json:"changes"`
}

// add adds a resource whose body differs by its version, and returns its index.
func (r *recording) add(typeURL, name, version string) int {
	var message proto.Message
	switch typeURL {
	case resourcev3.ClusterType:
		message = &clusterv3.Cluster{Name: name, AltStatName: version}
	case resourcev3.EndpointType:
		message = &endpointv3.ClusterLoadAssignment{
			ClusterName: name,
			Endpoints:   []*endpointv3.LocalityLbEndpoints{{Priority: uint32(len(version))}},
		}
	case resourcev3.ListenerType:
		message = &listenerv3.Listener{Name: name, StatPrefix: version}
	case resourcev3.RouteType:
		message = &routev3.RouteConfiguration{Name: name, InternalOnlyHeaders: []string{version}}
	}
	body, err := proto.Marshal(message)
	if err != nil {
		panic(err)
	}
	r.Resources = append(r.Resources, recordedResource{typeURL, name, version, body})
	return len(r.Resources) - 1
}

// addChange adds a change whose variants are pairs of a node and a resource.
func (r *recording) addChange(name string, variants ...[][2]int) {
	change := recordedChange{Name: name}
	for _, pairs := range variants {
		variant := change.Variants
		change.Variants = append(variant, nil)
		for _, pair := range pairs {
			change.Variants[len(variant)] = append(change.Variants[len(variant)], struct {
				Node     int `json:"node"`
				Resource int `json:"resource"`
			}{pair[0], pair[1]})
		}
	}
	r.Changes = append(r.Changes, change)
}

func (r *recording) read() (*content, error) {
	encoded, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	return readContent(strings.NewReader(string(encoded)))
}

// The changes of smallRecording.
const (
	clusterChange = iota
	routeChange
	listenerAndRouteChange
	endpointChange
)

// smallRecording has three nodes, of which 0 and 1 have the same egress routes and 2 has others of the same name.
func smallRecording() *recording {
	r := &recording{}
	backend := r.add(resourcev3.ClusterType, "backend", "1")
	otherBackend := r.add(resourcev3.ClusterType, "backend", "2")
	egress := r.add(resourcev3.ListenerType, "egress", "1")
	otherEgress := r.add(resourcev3.ListenerType, "egress", "2")
	egressRoutes := r.add(resourcev3.RouteType, "rds_egress", "1")
	otherEgressRoutes := r.add(resourcev3.RouteType, "rds_egress", "2")
	egressRoutesOfNode2 := r.add(resourcev3.RouteType, "rds_egress", "of node 2")
	otherEgressRoutesOfNode2 := r.add(resourcev3.RouteType, "rds_egress", "of node 2, other")
	ingressRoutes := r.add(resourcev3.RouteType, "rds_ingress", "1")
	endpoints := r.add(resourcev3.EndpointType, "backend", "1")
	otherEndpoints := r.add(resourcev3.EndpointType, "backend", "22")
	for index, routes := range []int{egressRoutes, egressRoutes, egressRoutesOfNode2} {
		local := r.add(resourcev3.ClusterType, fmt.Sprintf("local-%d", index), "1")
		localEndpoints := r.add(resourcev3.EndpointType, fmt.Sprintf("local-%d", index), "1")
		r.Nodes = append(r.Nodes, recordedNode{
			ID:        fmt.Sprintf("mesh/small/virtualNode/node-%d", index),
			Resources: []int{backend, local, endpoints, localEndpoints, egress, routes, ingressRoutes},
		})
	}
	r.addChange("cluster", [][2]int{{0, backend}, {1, backend}}, [][2]int{{0, otherBackend}, {1, otherBackend}})
	r.addChange("route", [][2]int{{2, egressRoutesOfNode2}}, [][2]int{{2, otherEgressRoutesOfNode2}})
	r.addChange("listener and route",
		[][2]int{{0, egress}, {0, egressRoutes}, {1, egressRoutes}},
		[][2]int{{0, otherEgress}, {0, otherEgressRoutes}, {1, otherEgressRoutes}})
	r.addChange("endpoint",
		[][2]int{{0, endpoints}, {1, endpoints}, {2, endpoints}},
		[][2]int{{0, otherEndpoints}, {1, otherEndpoints}, {2, otherEndpoints}})
	return r
}

func TestContentThatIsWrong(t *testing.T) {
	for _, test := range []struct {
		spoil func(*recording)
		want  string
	}{
		{func(r *recording) { r.Resources[0].TypeURL = "type.googleapis.com/x" }, `type "type.googleapis.com/x" is not served`},
		{func(r *recording) { r.Resources[0].Body = []byte{0xff} }, "resource 0: backend: "},
		{func(r *recording) { r.Resources[0].Name = "x" }, `its name is "x", the name in its body "backend"`},
		{func(r *recording) { r.Resources[1].Version = "1" }, `backend has two bodies with version "1"`},
		{func(r *recording) { r.Nodes[0].Resources[0] = 100 }, "node 0: there is no resource 100"},
		{func(r *recording) { r.Nodes[0].Resources[1] = 0 }, "node 0: has backend twice"},
		{func(r *recording) { r.Nodes[1].ID = r.Nodes[0].ID }, "is empty or not the first"},
		{func(r *recording) { r.Changes[0].Variants[0][0].Node = 3 }, "change 0, variant 0: there is no node 3"},
		{func(r *recording) { r.Changes[0].Variants[0][0].Resource = -1 }, "change 0, variant 0: there is no resource -1"},
		{func(r *recording) { r.Changes[0].Variants[0][0].Resource = 1 }, "variant 0 is not what node 0 has of backend"},
		{func(r *recording) { r.Changes[0].Variants[1][0].Node = 2 }, "variant 1 changes backend of node 2, variant 0 does not"},
		{func(r *recording) { r.Changes[0].Variants[1] = r.Changes[0].Variants[1][:1] }, "variant 1 does not change once each"},
		{func(r *recording) { r.Changes[0].Variants = nil }, "has no variants"},
	} {
		recording := smallRecording()
		test.spoil(recording)
		_, err := recording.read()
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("got %v, want %s", err, test.want)
		}
	}
}

func TestContentThatIsCutShort(t *testing.T) {
	encoded, err := json.Marshal(smallRecording())
	if err != nil {
		t.Fatal(err)
	}
	for length := range len(encoded) {
		if _, err := readContent(strings.NewReader(string(encoded[:length]))); err == nil {
			t.Fatalf("%d of %d bytes are taken for the whole", length, len(encoded))
		}
	}
}

func TestNodesThatAgreeShareLinearCaches(t *testing.T) {
	content, err := smallRecording().read()
	if err != nil {
		t.Fatal(err)
	}
	linears := newLinears(content, servedTypes)
	for typeURL, want := range map[string]int{
		resourcev3.ClusterType:  3, // each takes all there is, and has a cluster of its own
		resourcev3.EndpointType: 1, // what each has of its own has a name of its own
		resourcev3.ListenerType: 2, // of three that are alike, a change is for one
		resourcev3.RouteType:    2,
	} {
		groups := make(map[string]bool)
		for _, key := range linears.keys[typeURL] {
			groups[key] = true
		}
		if len(groups) != want {
			t.Errorf("%s is in %d caches, want %d", typeURL, len(groups), want)
		}
	}
}
