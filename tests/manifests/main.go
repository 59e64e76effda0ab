// Command manifests reads YAML documents from standard input and says what is wrong with them:
// fields that their owner's published Go types do not have, and pod templates that break the
// restricted Pod Security Standard. One line for each problem; exit status 1 when there is any.
//
// Kinds whose types could not be had as modules are named on standard error and left to others.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	yamlstream "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	psaapi "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"
)

func main() {
	types := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		scheme.AddToScheme, apiextensionsv1.AddToScheme, apiregistrationv1.AddToScheme,
		monitoringv1.AddToScheme, gatewayv1.Install,
	} {
		if err := add(types); err != nil {
			panic(err)
		}
	}
	checker, err := newChecker(types)
	if err != nil {
		panic(err)
	}
	problems := 0
	reader := yamlstream.NewYAMLReader(bufio.NewReader(os.Stdin))
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		for _, problem := range checker.check(document) {
			fmt.Println(problem)
			problems++
		}
	}
	if problems > 0 {
		os.Exit(1)
	}
}

type checker struct {
	types    *runtime.Scheme
	strict   *json.Serializer
	security policy.Evaluator
}

func newChecker(types *runtime.Scheme) (*checker, error) {
	security, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		return nil, err
	}
	strict := json.NewSerializerWithOptions(
		json.DefaultMetaFactory, types, types, json.SerializerOptions{Yaml: true, Strict: true})
	return &checker{types: types, strict: strict, security: security}, nil
}

// check returns every problem of one document, each with the object's kind and name in front.
func (c *checker) check(document []byte) []string {
	fields := map[string]any{}
	if err := yaml.UnmarshalStrict(document, &fields); err != nil {
		return []string{err.Error()}
	}
	if len(fields) == 0 {
		return nil
	}
	object := unstructured.Unstructured{Object: fields}
	name := fmt.Sprintf("%s %s", object.GetKind(), object.GetName())
	if !c.types.Recognizes(object.GroupVersionKind()) {
		fmt.Fprintf(os.Stderr, "no published type here: %s\n", object.GroupVersionKind())
		return c.checkGroupTemplates(name, object)
	}
	typed, _, err := c.strict.Decode(document, nil, nil)
	if err != nil {
		return []string{fmt.Sprintf("%s: %v", name, err)}
	}
	template := podTemplate(typed)
	if template == nil {
		return nil
	}
	return c.insecure(name, template)
}

// checkGroupTemplates does for a LeaderWorkerSet what can be done without its types: its pod
// templates are Kubernetes' own.
func (c *checker) checkGroupTemplates(name string, object unstructured.Unstructured) []string {
	var problems []string
	for _, role := range []string{"leaderTemplate", "workerTemplate"} {
		fields, found, err := unstructured.NestedMap(object.Object, "spec", "leaderWorkerTemplate", role)
		if err != nil || !found {
			continue
		}
		template := corev1.PodTemplateSpec{}
		err = runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(fields, &template, true)
		if err != nil {
			problems = append(problems, fmt.Sprintf("%s: %s: %v", name, role, err))
			continue
		}
		problems = append(problems, c.insecure(name+" "+role, &template)...)
	}
	return problems
}

func (c *checker) insecure(name string, template *corev1.PodTemplateSpec) []string {
	restricted := psaapi.LevelVersion{Level: psaapi.LevelRestricted, Version: psaapi.LatestVersion()}
	var problems []string
	for _, result := range c.security.EvaluatePod(restricted, &template.ObjectMeta, &template.Spec) {
		if !result.Allowed {
			problems = append(problems, fmt.Sprintf("%s: %s: %s", name, result.ForbiddenReason, result.ForbiddenDetail))
		}
	}
	return problems
}

func podTemplate(object runtime.Object) *corev1.PodTemplateSpec {
	switch typed := object.(type) {
	case *appsv1.Deployment:
		return &typed.Spec.Template
	case *appsv1.StatefulSet:
		return &typed.Spec.Template
	case *appsv1.DaemonSet:
		return &typed.Spec.Template
	case *batchv1.Job:
		return &typed.Spec.Template
	case *batchv1.CronJob:
		return &typed.Spec.JobTemplate.Spec.Template
	}
	return nil
}
