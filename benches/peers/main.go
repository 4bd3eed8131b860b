// Command legation-peer serves recorded content with go-control-plane, for comparison with Legation. See README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "legation-peer:", err)
		os.Exit(1)
	}
}

func run() error {
	path := flag.String("content", "", "`file` with the recorded content")
	mode := flag.String("mode", "mix", "caches to serve it from: mix, linear or snapshot")
	xdsAddress := flag.String("xds-addr", "127.0.0.1:0", "`address` on which ADS is served")
	hookAddress := flag.String("hook-addr", "127.0.0.1:0", "`address` on which changes are taken")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("%q is not a flag", flag.Arg(0))
	}
	if *path == "" {
		return errors.New("--content is missing")
	}

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()

	content, err := openContent(*path)
	if err != nil {
		return err
	}
	server, err := listen(content, *mode, *xdsAddress, *hookAddress)
	if err != nil {
		return err
	}
	// what only reading the file took is no memory of the server
	debug.FreeOSMemory()
	fmt.Fprintf(os.Stderr, "ready xds=%s hook=%s\n", server.xdsListener.Addr(), server.hookListener.Addr())
	return server.serve(ctx)
}

func openContent(path string) (*content, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content, err := readContent(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return content, nil
}
