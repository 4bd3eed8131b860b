package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// everything passes in well under a second; this is for machines that are busy
const testTimeout = time.Minute

var modes = []string{"mix", "linear", "snapshot"}

// fixture is a server with a client of each node.
type fixture struct {
	*testing.T
	mode, protocol string
	content        *content
	hookURL        string
	clients        []*client
}

// start starts a server, and ends it after the test.
func start(t *testing.T, mode, protocol string) *fixture {
	t.Helper()
	content, err := smallRecording().read()
	if err != nil {
		t.Fatal(err)
	}
	server, err := listen(content, mode, "127.0.0.1:0", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- server.serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	f := &fixture{t, mode, protocol, content, "http://" + server.hookListener.Addr().String(), nil}
	for _, node := range content.nodes {
		f.clients = append(f.clients, f.connect(server.xdsListener.Addr().String(), node.id))
	}
	return f
}

func (f *fixture) connect(address, nodeID string) *client {
	f.Helper()
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		f.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	f.Cleanup(func() {
		cancel()
		connection.Close()
	})
	return &client{
		ads:   discoveryv3.NewAggregatedDiscoveryServiceClient(connection),
		ctx:   ctx,
		node:  &corev3.Node{Id: nodeID},
		state: make(map[place]*anypb.Any),
		names: make(map[string][]string),
	}
}

func (f *fixture) put(change, variant int) {
	f.Helper()
	status, message := f.do(http.MethodPut, fmt.Sprintf("/changes/%d/variants/%d", change, variant))
	if status != http.StatusNoContent {
		f.Fatalf("the hook answered %d %s", status, message)
	}
}

func (f *fixture) do(method, path string) (int, string) {
	f.Helper()
	request, err := http.NewRequest(method, f.hookURL+path, nil)
	if err != nil {
		f.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		f.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		f.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// client is one Envoy, as far as ADS goes: it asks for a type after the other, and ACKs everything.
type client struct {
	ads   discoveryv3.AggregatedDiscoveryServiceClient
	ctx   context.Context
	node  *corev3.Node
	send  func(typeURL, version, nonce string) error
	recv  func() (*received, error)
	state map[place]*anypb.Any
	// names are what to subscribe to, where it is not everything
	names map[string][]string
}

// received is what a response brought.
type received struct {
	typeURL, version, nonce string
	resources               map[string]*anypb.Any
	removed                 []string
}

func (c *client) openDelta() error {
	stream, err := c.ads.DeltaAggregatedResources(c.ctx)
	if err != nil {
		return err
	}
	c.send = func(typeURL, _, nonce string) error {
		request := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: typeURL, ResponseNonce: nonce}
		if nonce == "" {
			request.Node = c.node
			request.ResourceNamesSubscribe = c.names[typeURL]
		}
		return stream.Send(request)
	}
	c.recv = func() (*received, error) {
		response, err := stream.Recv()
		if err != nil {
			return nil, err
		}
		got := &received{
			typeURL:   response.GetTypeUrl(),
			nonce:     response.GetNonce(),
			resources: make(map[string]*anypb.Any),
			removed:   response.GetRemovedResources(),
		}
		for _, resource := range response.GetResources() {
			got.resources[resource.GetName()] = resource.GetResource()
		}
		return got, nil
	}
	return nil
}

func (c *client) openSotw() error {
	stream, err := c.ads.StreamAggregatedResources(c.ctx)
	if err != nil {
		return err
	}
	c.send = func(typeURL, version, nonce string) error {
		return stream.Send(&discoveryv3.DiscoveryRequest{
			Node:          c.node,
			TypeUrl:       typeURL,
			VersionInfo:   version,
			ResponseNonce: nonce,
			ResourceNames: c.names[typeURL],
		})
	}
	c.recv = func() (*received, error) {
		response, err := stream.Recv()
		if err != nil {
			return nil, err
		}
		got := &received{
			typeURL:   response.GetTypeUrl(),
			version:   response.GetVersionInfo(),
			nonce:     response.GetNonce(),
			resources: make(map[string]*anypb.Any),
		}
		for _, resource := range response.GetResources() {
			name, err := resourceName(resource)
			if err != nil {
				return nil, err
			}
			got.resources[name] = resource
		}
		return got, nil
	}
	return nil
}

func resourceName(resource *anypb.Any) (string, error) {
	message, err := resource.UnmarshalNew()
	if err != nil {
		return "", err
	}
	descriptor := message.ProtoReflect().Descriptor().Fields()
	field := descriptor.ByName("name")
	if field == nil {
		field = descriptor.ByName("cluster_name")
	}
	return message.ProtoReflect().Get(field).String(), nil
}

// next receives a response, keeps what it brings, and ACKs it.
func (c *client) next() (*received, error) {
	got, err := c.recv()
	if err != nil {
		return nil, err
	}
	for name, resource := range got.resources {
		c.state[place{got.typeURL, name}] = resource
	}
	return got, c.send(got.typeURL, got.version, got.nonce)
}

// subscribe asks for what the node has, each type when the one before it is there.
func (c *client) subscribe(node node) error {
	for _, typeURL := range namedTypes {
		for _, resource := range node.resources {
			if resource.typeURL == typeURL {
				c.names[typeURL] = append(c.names[typeURL], resource.name)
			}
		}
	}
	for _, typeURL := range servedTypes {
		if err := c.send(typeURL, "", ""); err != nil {
			return err
		}
		got, err := c.next()
		if err != nil {
			return err
		}
		if got.typeURL != typeURL {
			return fmt.Errorf("%s came after a request for %s", got.typeURL, typeURL)
		}
	}
	return nil
}

// expectState checks that a client has what its node has, and nothing else.
func (f *fixture) expectState(index int) {
	f.Helper()
	client, node := f.clients[index], f.content.nodes[index]
	if len(client.state) != len(node.resources) {
		f.Errorf("node %d has %v", index, slices.Collect(maps.Keys(client.state)))
	}
	for _, resource := range node.resources {
		f.expectBody(index, resource)
	}
}

func (f *fixture) expectBody(index int, resource *resource) {
	f.Helper()
	encoded := f.clients[index].state[resource.place]
	if encoded == nil {
		f.Errorf("node %d does not have %s", index, resource.name)
		return
	}
	message, err := encoded.UnmarshalNew()
	if err != nil {
		f.Fatal(err)
	}
	if !proto.Equal(message, resource.message) {
		f.Errorf("node %d has %v, want %v", index, message, resource.message)
	}
}

// expectNext checks what the next response to a client is of, and that it takes nothing away.
func (f *fixture) expectNext(index int, typeURL string, names ...string) {
	f.Helper()
	got, err := f.clients[index].next()
	if err != nil {
		f.Fatal(err)
	}
	slices.Sort(names)
	if got.typeURL != typeURL || !slices.Equal(slices.Sorted(maps.Keys(got.resources)), names) || len(got.removed) != 0 {
		f.Fatalf("node %d was sent %s %v without %v, want %s %v", index, got.typeURL,
			slices.Sorted(maps.Keys(got.resources)), got.removed, typeURL, names)
	}
}

// fence changes a resource that all have, and checks that this is the next that all are sent: so before it came nothing.
func (f *fixture) fence() {
	f.Helper()
	for variant := range 2 {
		f.put(endpointChange, 1-variant)
		for index := range f.clients {
			f.expectNext(index, resourcev3.EndpointType,
				f.together(resourcev3.EndpointType, "backend", fmt.Sprintf("local-%d", index))...)
			f.expectBody(index, f.content.changes[endpointChange].variants[1-variant][index].resource)
		}
	}
}

// together are the names that come when the first of those of a type changes: in delta that one, in state of the world
// all of clusters and listeners, and from a SnapshotCache all of any type.
func (f *fixture) together(typeURL string, names ...string) []string {
	if f.protocol == "sotw" && (f.mode == "snapshot" || slices.Contains(wildcardTypes, typeURL)) {
		return names
	}
	return names[:1]
}

func TestChangesReachTheirConsumers(t *testing.T) {
	for _, mode := range modes {
		for _, protocol := range []string{"delta", "sotw"} {
			t.Run(mode+"/"+protocol, func(t *testing.T) {
				f := start(t, mode, protocol)
				for index, client := range f.clients {
					open := client.openDelta
					if protocol == "sotw" {
						open = client.openSotw
					}
					if err := open(); err != nil {
						t.Fatal(err)
					}
					if err := client.subscribe(f.content.nodes[index]); err != nil {
						t.Fatal(err)
					}
					f.expectState(index)
				}
				f.fence()

				for _, variant := range []int{1, 0} {
					f.put(clusterChange, variant)
					for _, index := range []int{0, 1} {
						f.expectNext(index, resourcev3.ClusterType, f.together(resourcev3.ClusterType,
							"backend", fmt.Sprintf("local-%d", index))...)
						f.expectBody(index, f.content.changes[clusterChange].variants[variant][index].resource)
					}
					f.fence()

					f.put(routeChange, variant)
					f.expectNext(2, resourcev3.RouteType, f.together(resourcev3.RouteType,
						"rds_egress", "rds_ingress")...)
					f.expectBody(2, f.content.changes[routeChange].variants[variant][0].resource)
					f.fence()

					f.put(listenerAndRouteChange, variant)
					f.expectNext(0, resourcev3.ListenerType, "egress")
					for _, index := range []int{0, 1} {
						f.expectNext(index, resourcev3.RouteType, f.together(resourcev3.RouteType,
							"rds_egress", "rds_ingress")...)
					}
					for _, assignment := range f.content.changes[listenerAndRouteChange].variants[variant] {
						f.expectBody(assignment.node, assignment.resource)
					}
					f.fence()

					// once more is no change
					f.put(clusterChange, variant)
					f.put(routeChange, variant)
					f.put(listenerAndRouteChange, variant)
					f.fence()
				}
				for index := range f.clients {
					f.expectState(index)
				}
			})
		}
	}
}

// A change whose resource another change has replaced since puts its own in place again.
func TestTheLastChangeOfAResourceCounts(t *testing.T) {
	recording := smallRecording()
	third := recording.add(resourcev3.ClusterType, "backend", "3")
	recording.addChange("another cluster", [][2]int{{0, 0}}, [][2]int{{0, third}})
	content, err := recording.read()
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range modes {
		backend, err := newBackend(mode, content)
		if err != nil {
			t.Fatal(err)
		}
		last := len(content.changes) - 1
		for _, step := range []struct{ change, variant int }{{clusterChange, 1}, {last, 1}, {clusterChange, 1}} {
			assignments := content.changes[step.change].variants[step.variant]
			if err := backend.prepare(assignments)(); err != nil {
				t.Fatal(err)
			}
			if got := currentOf(backend, assignments[0]); got != assignments[0].resource {
				t.Errorf("%s: after variant %d of change %d the node has %v", mode, step.variant, step.change, got.message)
			}
		}
	}
}

// currentOf is what a node has in the place of an assignment.
func currentOf(backend backend, assignment assignment) *resource {
	where := assignment.resource.place
	switch backend := backend.(type) {
	case *mix:
		return currentOf(backend.snapshots, assignment)
	case *linears:
		return backend.byNode[assignment.node][where.typeURL].members[where.name]
	case *snapshots:
		return backend.current[assignment.node][where.typeURL].members[where.name]
	}
	return nil
}

func TestSnapshotVersionsFollowTheContent(t *testing.T) {
	content, err := smallRecording().read()
	if err != nil {
		t.Fatal(err)
	}
	snapshots, err := newSnapshots(content, servedTypes)
	if err != nil {
		t.Fatal(err)
	}
	version := func() string { return snapshots.current[0].GetVersion(resourcev3.ClusterType) }
	first := version()
	for variant, same := range []bool{true, false, true} {
		if err := snapshots.prepare(content.changes[clusterChange].variants[variant%2])(); err != nil {
			t.Fatal(err)
		}
		if (version() == first) != same {
			t.Errorf("the version was %s and is %s", first, version())
		}
	}
}

func TestHook(t *testing.T) {
	f := start(t, "mix", "delta")
	for _, test := range []struct {
		method, path string
		status       int
		sentence     string
	}{
		{http.MethodGet, "/healthz", http.StatusOK, ""},
		{http.MethodPut, "/changes/0/variants/1", http.StatusNoContent, ""},
		{http.MethodPut, "/changes/4/variants/0", http.StatusNotFound, "there is no change 4, the content has 4"},
		{http.MethodPut, "/changes/-1/variants/0", http.StatusNotFound, "there is no change -1"},
		{http.MethodPut, "/changes/0/variants/2", http.StatusNotFound, "there is no variant 2, change 0 (cluster) has 2"},
		{http.MethodPut, "/changes/one/variants/0", http.StatusBadRequest, `the change "one" is not a number`},
		{http.MethodPut, "/changes/0/variants/x", http.StatusBadRequest, `the variant "x" is not a number`},
		{http.MethodPost, "/changes/0/variants/0", http.StatusMethodNotAllowed, ""},
		{http.MethodGet, "/", http.StatusNotFound, ""},
	} {
		status, body := f.do(test.method, test.path)
		if status != test.status || !strings.Contains(body, test.sentence) {
			t.Errorf("%s %s: got %d %q, want %d %q", test.method, test.path, status, body, test.status, test.sentence)
		}
	}
}

// An unknown node is told so, but by a SnapshotCache, which waits for it.
func TestUnknownNode(t *testing.T) {
	f := start(t, "linear", "delta")
	client := f.clients[0]
	client.node.Id = "nobody"
	if err := client.openDelta(); err != nil {
		t.Fatal(err)
	}
	if err := client.send(resourcev3.ClusterType, "", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := client.recv(); err == nil || !strings.Contains(err.Error(), `of node "nobody"`) {
		t.Errorf("got %v", err)
	}
}

func TestUnknownMode(t *testing.T) {
	if _, err := listen(&content{}, "fast", "127.0.0.1:0", "127.0.0.1:0"); err == nil {
		t.Error("a mode that there is not is taken")
	}
}
