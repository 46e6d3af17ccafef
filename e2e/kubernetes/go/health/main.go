// Says what GitOps tools make of an object of kubelns: Flux and kubectl by kstatus, Argo CD by its health check with
// health.lua. Each change of the object is a line: time, generation, kstatus, Argo CD, and what both say in words.
//
//	health --kubeconfig FILE --namespace NAMESPACE --lua health.lua [--wait WORD] [--patience 30s] lnsclusters/edge
//
// With --wait it ends as soon as either says WORD, and fails if that is not within the patience. Both libraries are
// the tools' own; how Argo CD runs Lua is in lua.go.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/argoproj/gitops-engine/pkg/health"
	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"
)

var version = schema.GroupVersion{Group: "kubelns.io", Version: "v1alpha1"}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "health:", err)
		os.Exit(1)
	}
}

func run() error {
	kubeconfig := flag.String("kubeconfig", os.Getenv("KUBECONFIG"), "how the API server is reached")
	namespace := flag.String("namespace", "default", "where the object is")
	script := flag.String("lua", "", "the health.lua that Argo CD is given")
	word := flag.String("wait", "", "ends when either says so")
	patience := flag.Duration("patience", time.Minute, "how long it is watched")
	flag.Parse()
	resource, name, found := strings.Cut(flag.Arg(0), "/")
	if flag.NArg() != 1 || !found {
		return errors.New("one object is to be named: RESOURCE/NAME")
	}
	lua, err := os.ReadFile(*script)
	if err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		return err
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), *patience)
	defer cancel()
	objects := client.Resource(version.WithResource(resource)).Namespace(*namespace)
	return follow(ctx, objects, name, string(lua), *word)
}

// Prints a line per change until WORD is said, or time is up. A watch that the server ends is begun anew.
func follow(ctx context.Context, objects dynamic.ResourceInterface, name, lua, word string) error {
	only := metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", name).String()}
	last := ""
	for ctx.Err() == nil {
		events, err := objects.Watch(ctx, only)
		if err != nil {
			return err
		}
		for event := range events.ResultChan() {
			object, is := event.Object.(*unstructured.Unstructured)
			if !is {
				return fmt.Errorf("the watch says %v", event.Object)
			}
			line, said, err := judge(event.Type, object, lua)
			if err != nil {
				return err
			}
			if line != last {
				fmt.Println(time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), line)
				last = line
			}
			if word != "" && (said[0] == word || said[1] == word) {
				return nil
			}
		}
	}
	if word == "" {
		return nil
	}
	return fmt.Errorf("%s: nobody has said %s; the last was: %s", name, word, last)
}

// What both say of the object after an event: a line, and the two words.
func judge(event watch.EventType, object *unstructured.Unstructured, lua string) (string, [2]string, error) {
	if event == watch.Deleted {
		said := [2]string{string(status.NotFoundStatus), string(health.HealthStatusMissing)}
		return fmt.Sprintf("- %s %s", said[0], said[1]), said, nil
	}
	flux, err := status.Compute(object)
	if err != nil {
		return "", [2]string{}, fmt.Errorf("kstatus: %w", err)
	}
	argo, err := health.GetResourceHealth(object, override(lua))
	// On a starved machine a second is not always enough, and no event comes again; Argo CD asks again too.
	for tries := 0; err != nil && tries < 10; tries++ {
		argo, err = health.GetResourceHealth(object, override(lua))
	}
	if err != nil {
		return "", [2]string{}, fmt.Errorf("gitops-engine: %w", err)
	}
	said := [2]string{string(flux.Status), string(argo.Status)}
	line := fmt.Sprintf("%d %s %s %q %q", object.GetGeneration(), said[0], said[1], flux.Message, argo.Message)
	return line, said, nil
}
