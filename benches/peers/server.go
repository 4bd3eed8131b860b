package main

import (
	"context"
	"errors"
	"net"
	"net/http"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/sotw/v3"
	serverv3 "github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
)

// server is the xDS server beside the hook that changes what it serves.
type server struct {
	xdsListener, hookListener net.Listener
	cache                     cache.Cache
	hook                      http.Handler
}

// listen prepares a server and binds its addresses.
func listen(content *content, mode, xdsAddress, hookAddress string) (*server, error) {
	backend, err := newBackend(mode, content)
	if err != nil {
		return nil, err
	}
	xds, err := net.Listen("tcp", xdsAddress)
	if err != nil {
		return nil, err
	}
	hook, err := net.Listen("tcp", hookAddress)
	if err != nil {
		return nil, errors.Join(err, xds.Close())
	}
	return &server{xds, hook, backend.cache(), newHook(content, backend)}, nil
}

// serve returns when the context is done, or with an error when it cannot go on.
func (s *server) serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	xds := grpc.NewServer(grpcOptions()...)
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(xds,
		serverv3.NewServer(ctx, s.cache, nil, sotw.WithOrderedADS()))
	hook := &http.Server{Handler: s.hook}

	ended := make(chan error, 2)
	go func() { ended <- xds.Serve(s.xdsListener) }()
	go func() { ended <- hook.Serve(s.hookListener) }()

	var err error
	select {
	case err = <-ended:
	case <-ctx.Done():
	}
	cancel()
	// streams have no end of their own, so there is nothing to wait for
	xds.Stop()
	return errors.Join(err, hook.Close())
}

// flowControlWindow is how many bytes of requests may be on their way on a connection.
const flowControlWindow = 256 << 10

// grpcOptions leave everything at grpc-go's defaults but the windows: with static ones it does not estimate the
// bandwidth, for which it would ping the client at every ACK. README.md has what the other options made no difference to.
func grpcOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.StaticStreamWindowSize(flowControlWindow),
		grpc.StaticConnWindowSize(flowControlWindow),
	}
}
