package main

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
)

// newHook is the interface through which the load harness makes changes, one at a time.
func newHook(content *content, backend backend) http.Handler {
	updates := make([][]func() error, len(content.changes))
	for number, change := range content.changes {
		for _, variant := range change.variants {
			updates[number] = append(updates[number], backend.prepare(variant))
		}
	}

	var one sync.Mutex
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("PUT /changes/{change}/variants/{variant}", func(w http.ResponseWriter, r *http.Request) {
		change, err := strconv.Atoi(r.PathValue("change"))
		if err != nil {
			http.Error(w, fmt.Sprintf("the change %q is not a number", r.PathValue("change")), http.StatusBadRequest)
			return
		}
		variant, err := strconv.Atoi(r.PathValue("variant"))
		if err != nil {
			http.Error(w, fmt.Sprintf("the variant %q is not a number", r.PathValue("variant")), http.StatusBadRequest)
			return
		}
		if change < 0 || change >= len(updates) {
			http.Error(w, fmt.Sprintf("there is no change %d, the content has %d", change, len(updates)), http.StatusNotFound)
			return
		}
		if variant < 0 || variant >= len(updates[change]) {
			http.Error(w, fmt.Sprintf("there is no variant %d, change %d (%s) has %d", variant, change,
				content.changes[change].name, len(updates[change])), http.StatusNotFound)
			return
		}
		one.Lock()
		defer one.Unlock()
		if err := updates[change][variant](); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}
