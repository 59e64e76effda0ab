package main

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
)

// fieldsOf are the fields that an object can be selected by.
func fieldsOf(object runtime.Object) (fields.Set, error) {
	accessor, err := meta.Accessor(object)
	if err != nil {
		return nil, err
	}
	set := fields.Set{"metadata.name": accessor.GetName(), "metadata.namespace": accessor.GetNamespace()}
	switch o := object.(type) {
	case *corev1.Pod:
		set["spec.nodeName"] = o.Spec.NodeName
		set["status.phase"] = string(o.Status.Phase)
	case *corev1.Event:
		describeEvent(set, "involvedObject.", o.InvolvedObject, o.Reason, o.Type)
	case *eventsv1.Event:
		describeEvent(set, "regarding.", o.Regarding, o.Reason, o.Type)
	}
	return set, nil
}

func describeEvent(set fields.Set, prefix string, about corev1.ObjectReference, reason, kind string) {
	set[prefix+"kind"] = about.Kind
	set[prefix+"namespace"] = about.Namespace
	set[prefix+"name"] = about.Name
	set[prefix+"uid"] = string(about.UID)
	set["reason"] = reason
	set["type"] = kind
}

func attributes(object runtime.Object) (labels.Set, fields.Set, error) {
	accessor, err := meta.Accessor(object)
	if err != nil {
		return nil, nil, err
	}
	set, err := fieldsOf(object)
	return accessor.GetLabels(), set, err
}

// addFieldLabels makes those fields known to requests; any other is refused.
func addFieldLabels(s *runtime.Scheme) {
	for _, r := range resources {
		kind := r.version.WithKind(r.kind)
		object, err := s.New(kind)
		utilruntime.Must(err)
		known, err := fieldsOf(object)
		utilruntime.Must(err)
		utilruntime.Must(s.AddFieldLabelConversionFunc(kind, func(label, value string) (string, string, error) {
			if !known.Has(label) {
				return "", "", fmt.Errorf("%s cannot be selected by the field %q", r.plural, label)
			}
			return label, value, nil
		}))
	}
}
