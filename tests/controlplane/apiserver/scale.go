package main

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// scaleREST shows an object as an autoscaling/v1 Scale, and writes its replicas back.
type scaleREST struct {
	store   *registry.Store
	version schema.GroupVersion
}

func (s scaleREST) New() runtime.Object { return &autoscalingv1.Scale{} }
func (s scaleREST) Destroy()            {}
func (s scaleREST) GroupVersionKind(schema.GroupVersion) schema.GroupVersionKind {
	return autoscalingv1.SchemeGroupVersion.WithKind("Scale")
}
func (s scaleREST) ConvertToTable(ctx context.Context, object, options runtime.Object) (*metav1.Table, error) {
	return s.store.ConvertToTable(ctx, object, options)
}

func (s scaleREST) Get(ctx context.Context, name string, options *metav1.GetOptions) (runtime.Object, error) {
	object, err := s.store.Get(ctx, name, options)
	if err != nil {
		return nil, err
	}
	return s.scaleOf(object)
}

func (s scaleREST) Update(
	ctx context.Context, name string, info rest.UpdatedObjectInfo, _ rest.ValidateObjectFunc,
	_ rest.ValidateObjectUpdateFunc, _ bool, options *metav1.UpdateOptions,
) (runtime.Object, bool, error) {
	object, _, err := s.store.Update(
		ctx, name, scaled{s, info}, rest.ValidateAllObjectFunc, rest.ValidateAllObjectUpdateFunc, false, options)
	if err != nil {
		return nil, false, err
	}
	scale, err := s.scaleOf(object)
	return scale, false, err
}

func (s scaleREST) scaleOf(object runtime.Object) (*autoscalingv1.Scale, error) {
	from := accessor(object)
	replicas, status, labels := replicasOf(object)
	selector, err := metav1.LabelSelectorAsSelector(labels)
	if err != nil {
		return nil, err
	}
	scale := &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{
			Name: from.GetName(), Namespace: from.GetNamespace(), UID: from.GetUID(),
			ResourceVersion: from.GetResourceVersion(), CreationTimestamp: from.GetCreationTimestamp(),
		},
		Status: autoscalingv1.ScaleStatus{Replicas: status, Selector: selector.String()},
	}
	if *replicas != nil {
		scale.Spec.Replicas = **replicas
	}
	return scale, nil
}

// replicasOf: what is wanted, what there is, and whom it selects.
func replicasOf(object runtime.Object) (**int32, int32, *metav1.LabelSelector) {
	switch o := object.(type) {
	case *appsv1.Deployment:
		return &o.Spec.Replicas, o.Status.Replicas, o.Spec.Selector
	case *appsv1.ReplicaSet:
		return &o.Spec.Replicas, o.Status.Replicas, o.Spec.Selector
	case *appsv1.StatefulSet:
		return &o.Spec.Replicas, o.Status.Replicas, o.Spec.Selector
	}
	panic(fmt.Sprintf("%T has no replicas", object))
}

// scaled turns an update of the Scale into one of the object behind it.
type scaled struct {
	scaleREST
	info rest.UpdatedObjectInfo
}

func (s scaled) Preconditions() *metav1.Preconditions { return s.info.Preconditions() }

func (s scaled) UpdatedObject(ctx context.Context, old runtime.Object) (runtime.Object, error) {
	object := old.DeepCopyObject()
	meta := accessor(object)
	fields := managedfields.NewScaleHandler(meta.GetManagedFields(), s.version, managedfields.ResourcePathMappings{
		s.version.String(): fieldpath.MakePathOrDie("spec", "replicas"),
	})
	before, err := s.scaleOf(object)
	if err != nil {
		return nil, err
	}
	if before.ManagedFields, err = fields.ToSubresource(); err != nil {
		return nil, err
	}
	updated, err := s.info.UpdatedObject(ctx, before)
	if err != nil {
		return nil, err
	}
	scale := updated.(*autoscalingv1.Scale)
	if scale.Spec.Replicas < 0 {
		path := field.NewPath("spec", "replicas")
		wrong := field.Invalid(path, scale.Spec.Replicas, "must be greater than or equal to 0")
		return nil, apierrors.NewInvalid(s.GroupVersionKind(s.version).GroupKind(), scale.Name, field.ErrorList{wrong})
	}
	entries, err := fields.ToParent(scale.ManagedFields)
	if err != nil {
		return nil, err
	}
	meta.SetManagedFields(entries)
	if scale.ResourceVersion != "" {
		meta.SetResourceVersion(scale.ResourceVersion)
	}
	replicas, _, _ := replicasOf(object)
	*replicas = &scale.Spec.Replicas
	return object, nil
}
