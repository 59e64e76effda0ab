package main

import (
	"context"
	"reflect"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/storage/names"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// storage are the REST endpoints of one resource: itself, and its /status and /scale.
func (r resource) storage(getter generic.RESTOptionsGetter) (map[string]rest.Storage, error) {
	store, err := r.store(getter)
	if err != nil {
		return nil, err
	}
	endpoints := map[string]rest.Storage{r.plural: store}
	if r.status {
		ofStatus := *store
		strategy := strategy{r, scheme, names.SimpleNameGenerator, "Spec"}
		ofStatus.UpdateStrategy, ofStatus.ResetFieldsStrategy = strategy, strategy
		endpoints[r.plural+"/status"] = statusREST{&ofStatus}
	}
	if r.scale {
		endpoints[r.plural+"/scale"] = scaleREST{store, r.version}
	}
	return endpoints, nil
}

func (r resource) store(getter generic.RESTOptionsGetter) (*registry.Store, error) {
	strategy := strategy{r, scheme, names.SimpleNameGenerator, "Status"}
	group := r.version.WithResource(r.plural).GroupResource()
	store := &registry.Store{
		NewFunc:                   func() runtime.Object { return r.create("") },
		NewListFunc:               func() runtime.Object { return r.create("List") },
		DefaultQualifiedResource:  group,
		SingularQualifiedResource: r.version.WithResource(strings.ToLower(r.kind)).GroupResource(),
		CreateStrategy:            strategy,
		UpdateStrategy:            strategy,
		DeleteStrategy:            strategy,
		ResetFieldsStrategy:       strategy,
		TableConvertor:            rest.NewDefaultTableConvertor(group),
	}
	if r.kind == "Pod" {
		store.DeleteStrategy = podStrategy{strategy}
	}
	return store, store.CompleteWithOptions(&generic.StoreOptions{RESTOptions: getter, AttrFunc: attributes})
}

func (r resource) create(suffix string) runtime.Object {
	object, err := scheme.New(r.version.WithKind(r.kind + suffix))
	utilruntime.Must(err)
	return object
}

// strategy is the same for all resources: a write to the object leaves its status alone, a write to its status
// leaves the spec alone, and a changed spec is a new generation.
type strategy struct {
	resource
	runtime.ObjectTyper
	names.NameGenerator
	kept string // the field that this endpoint does not write
}

func (s strategy) NamespaceScoped() bool { return !s.clusterWide }

func (s strategy) PrepareForCreate(_ context.Context, object runtime.Object) {
	if status := part(object, "Status"); s.status && status.IsValid() && s.kind != "Node" {
		status.SetZero()
	}
	if part(object, "Spec").IsValid() {
		accessor(object).SetGeneration(1)
	}
	switch o := object.(type) {
	case *corev1.Pod:
		o.Status.Phase = corev1.PodPending
	case *corev1.Namespace:
		o.Status.Phase = corev1.NamespaceActive
	}
}

func (s strategy) PrepareForUpdate(_ context.Context, object, old runtime.Object) {
	if kept := part(object, s.kept); s.status && kept.IsValid() {
		kept.Set(part(old, s.kept))
	}
	generation := accessor(old).GetGeneration()
	spec := part(object, "Spec")
	if spec.IsValid() && !equality.Semantic.DeepEqual(spec.Interface(), part(old, "Spec").Interface()) {
		generation++
	}
	accessor(object).SetGeneration(generation)
}

func (s strategy) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set {
	if !s.status {
		return nil
	}
	path := fieldpath.MakePathOrDie(strings.ToLower(s.kept))
	return map[fieldpath.APIVersion]*fieldpath.Set{fieldpath.APIVersion(s.version.String()): fieldpath.NewSet(path)}
}

func (strategy) Validate(context.Context, runtime.Object) field.ErrorList { return nil }
func (strategy) ValidateUpdate(context.Context, runtime.Object, runtime.Object) field.ErrorList {
	return nil
}
func (strategy) WarningsOnCreate(context.Context, runtime.Object) []string { return nil }
func (strategy) WarningsOnUpdate(context.Context, runtime.Object, runtime.Object) []string {
	return nil
}
func (strategy) Canonicalize(runtime.Object)    {}
func (strategy) AllowCreateOnUpdate() bool      { return false }
func (strategy) AllowUnconditionalUpdate() bool { return true }

// podStrategy lets a pod on a node end gracefully; whoever plays the kubelet then deletes it at once.
type podStrategy struct{ strategy }

func (podStrategy) CheckGracefulDelete(_ context.Context, object runtime.Object, options *metav1.DeleteOptions) bool {
	pod := object.(*corev1.Pod)
	if options.GracePeriodSeconds == nil {
		options.GracePeriodSeconds = pod.Spec.TerminationGracePeriodSeconds
	}
	over := pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded
	if options.GracePeriodSeconds == nil || pod.Spec.NodeName == "" || over {
		options.GracePeriodSeconds = ptr.To(int64(0))
	}
	return true
}

func part(object runtime.Object, name string) reflect.Value {
	return reflect.ValueOf(object).Elem().FieldByName(name)
}

func accessor(object runtime.Object) metav1.Object {
	found, err := meta.Accessor(object)
	utilruntime.Must(err)
	return found
}

// statusREST writes the status of an object and cannot create one.
type statusREST struct{ store *registry.Store }

func (s statusREST) New() runtime.Object { return s.store.New() }
func (s statusREST) Destroy()            {}
func (s statusREST) Get(ctx context.Context, name string, options *metav1.GetOptions) (runtime.Object, error) {
	return s.store.Get(ctx, name, options)
}
func (s statusREST) Update(
	ctx context.Context, name string, info rest.UpdatedObjectInfo, create rest.ValidateObjectFunc,
	update rest.ValidateObjectUpdateFunc, _ bool, options *metav1.UpdateOptions,
) (runtime.Object, bool, error) {
	return s.store.Update(ctx, name, info, create, update, false, options)
}
func (s statusREST) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set {
	return s.store.GetResetFields()
}
func (s statusREST) ConvertToTable(ctx context.Context, object, options runtime.Object) (*metav1.Table, error) {
	return s.store.ConvertToTable(ctx, object, options)
}
