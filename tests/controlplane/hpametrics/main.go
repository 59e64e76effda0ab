// Reads metrics as the HorizontalPodAutoscaler's controller does, with the same clients wired in the same way,
// and prints what it gets as JSON: the adapter's tests ask it what an HPA would see.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/metrics/pkg/client/custom_metrics"
	"k8s.io/metrics/pkg/client/external_metrics"
)

const usage = `usage: hpametrics --kubeconfig FILE --namespace NS --metric NAME [--metric-selector LABELS] SOURCE
  pods LABELS        of the pods that the labels select
  object KIND NAME   of one object; KIND may have its group: Deployment.apps
  external           of no object`

// question is what one metric of an HPA's spec asks.
type question struct{ kubeconfig, namespace, metric, metricSelector string }

func main() {
	var q question
	flag.StringVar(&q.kubeconfig, "kubeconfig", "", "")
	flag.StringVar(&q.namespace, "namespace", "default", "")
	flag.StringVar(&q.metric, "metric", "", "")
	flag.StringVar(&q.metricSelector, "metric-selector", "", "")
	flag.Usage = func() { fmt.Fprintln(os.Stderr, usage) }
	flag.Parse()
	answer, err := q.ask(flag.Args())
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(answer)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (q question) ask(source []string) (any, error) {
	config, err := clientcmd.BuildConfigFromFlags("", q.kubeconfig)
	if err != nil {
		return nil, err
	}
	ofMetric, err := labels.Parse(q.metricSelector)
	if err != nil {
		return nil, err
	}
	if len(source) == 1 && source[0] == "external" {
		client, err := external_metrics.NewForConfig(config)
		if err != nil {
			return nil, err
		}
		return client.NamespacedMetrics(q.namespace).List(q.metric, ofMetric)
	}
	found, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(found))
	versions := custom_metrics.NewAvailableAPIsGetter(found)
	metrics := custom_metrics.NewForConfig(config, mapper, versions).NamespacedMetrics(q.namespace)
	switch {
	case len(source) == 2 && source[0] == "pods":
		ofPods, err := labels.Parse(source[1])
		if err != nil {
			return nil, err
		}
		return metrics.GetForObjects(schema.GroupKind{Kind: "Pod"}, ofPods, q.metric, ofMetric)
	case len(source) == 3 && source[0] == "object":
		return metrics.GetForObject(schema.ParseGroupKind(source[1]), source[2], q.metric, ofMetric)
	}
	return nil, fmt.Errorf("%s", usage)
}
