package main

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
)

// asPeer makes the test binary behave as legation-peer.
const asPeer = "LEGATION_PEER_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asPeer) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "content.json")
	encoded, err := json.Marshal(smallRecording())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, encoded, 0o600); err != nil {
		t.Fatal(err)
	}
	peer := exec.Command(os.Args[0], "--content", path, "--mode", "mix", "--xds-addr", "127.0.0.1:0")
	peer.Env = append(os.Environ(), asPeer+"=1")
	stderr, err := peer.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := peer.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stderr).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	ready := regexp.MustCompile(`^ready xds=127\.0\.0\.1:\d+ hook=(127\.0\.0\.1:\d+)\n$`).FindStringSubmatch(line)
	if ready == nil {
		t.Fatalf("it wrote %q", line)
	}
	response, err := http.Get("http://" + ready[1] + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("/healthz answered %s", response.Status)
	}
	if err := peer.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := peer.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}

func TestProcessWithoutContent(t *testing.T) {
	peer := exec.Command(os.Args[0], "--content", filepath.Join(t.TempDir(), "nothing"))
	peer.Env = append(os.Environ(), asPeer+"=1")
	output, err := peer.CombinedOutput()
	if err == nil || !regexp.MustCompile(`^legation-peer: open .*\n$`).Match(output) {
		t.Errorf("it ended with %v and wrote %q", err, output)
	}
}
