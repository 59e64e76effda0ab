package main

import (
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	eventsv1 "k8s.io/api/events/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/utils/ptr"
)

// resource is one row of what this server stores.
type resource struct {
	version     schema.GroupVersion
	kind        string
	plural      string
	clusterWide bool
	status      bool // has a /status
	scale       bool // has a /scale
}

// resources are those that the tests use, and no more.
var resources = []resource{
	{version: corev1.SchemeGroupVersion, kind: "ConfigMap", plural: "configmaps"},
	{version: corev1.SchemeGroupVersion, kind: "Event", plural: "events"},
	{version: corev1.SchemeGroupVersion, kind: "Namespace", plural: "namespaces", clusterWide: true, status: true},
	{version: corev1.SchemeGroupVersion, kind: "Node", plural: "nodes", clusterWide: true, status: true},
	{version: corev1.SchemeGroupVersion, kind: "PersistentVolume", plural: "persistentvolumes", clusterWide: true, status: true},
	{version: corev1.SchemeGroupVersion, kind: "PersistentVolumeClaim", plural: "persistentvolumeclaims", status: true},
	{version: corev1.SchemeGroupVersion, kind: "Pod", plural: "pods", status: true},
	{version: corev1.SchemeGroupVersion, kind: "Secret", plural: "secrets"},
	{version: corev1.SchemeGroupVersion, kind: "Service", plural: "services", status: true},
	{version: corev1.SchemeGroupVersion, kind: "ServiceAccount", plural: "serviceaccounts"},
	{version: appsv1.SchemeGroupVersion, kind: "Deployment", plural: "deployments", status: true, scale: true},
	{version: appsv1.SchemeGroupVersion, kind: "ReplicaSet", plural: "replicasets", status: true, scale: true},
	{version: appsv1.SchemeGroupVersion, kind: "StatefulSet", plural: "statefulsets", status: true, scale: true},
	{version: autoscalingv2.SchemeGroupVersion, kind: "HorizontalPodAutoscaler", plural: "horizontalpodautoscalers", status: true},
	{version: coordinationv1.SchemeGroupVersion, kind: "Lease", plural: "leases"},
	{version: discoveryv1.SchemeGroupVersion, kind: "EndpointSlice", plural: "endpointslices"},
	{version: eventsv1.SchemeGroupVersion, kind: "Event", plural: "events"},
	{version: networkingv1.SchemeGroupVersion, kind: "NetworkPolicy", plural: "networkpolicies"},
	{version: policyv1.SchemeGroupVersion, kind: "PodDisruptionBudget", plural: "poddisruptionbudgets", status: true},
	{version: rbacv1.SchemeGroupVersion, kind: "ClusterRole", plural: "clusterroles", clusterWide: true},
	{version: rbacv1.SchemeGroupVersion, kind: "ClusterRoleBinding", plural: "clusterrolebindings", clusterWide: true},
	{version: rbacv1.SchemeGroupVersion, kind: "Role", plural: "roles"},
	{version: rbacv1.SchemeGroupVersion, kind: "RoleBinding", plural: "rolebindings"},
	{version: schedulingv1.SchemeGroupVersion, kind: "PriorityClass", plural: "priorityclasses", clusterWide: true},
}

var (
	scheme         = newScheme()
	codecs         = serializer.NewCodecFactory(scheme)
	parameterCodec = runtime.NewParameterCodec(scheme)
)

// storageVersions are what objects are encoded as in etcd.
func storageVersions() []schema.GroupVersion {
	versions := []schema.GroupVersion{}
	for _, r := range resources {
		if len(versions) == 0 || versions[len(versions)-1] != r.version {
			versions = append(versions, r.version)
		}
	}
	return versions
}

// newScheme registers each type under its version and again as the internal one: Kubernetes converts between
// the two, and with one Go type for both there is nothing to convert.
func newScheme() *runtime.Scheme {
	s := runtime.NewScheme()
	metav1.AddToGroupVersion(s, schema.GroupVersion{Version: "v1"})
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, appsv1.AddToScheme, autoscalingv2.AddToScheme, coordinationv1.AddToScheme,
		discoveryv1.AddToScheme, eventsv1.AddToScheme, networkingv1.AddToScheme, policyv1.AddToScheme,
		rbacv1.AddToScheme, schedulingv1.AddToScheme,
		authenticationv1.AddToScheme, authorizationv1.AddToScheme,
	} {
		utilruntime.Must(add(s))
	}
	// Of autoscaling/v1 the Scale alone: its HorizontalPodAutoscaler would need conversions.
	s.AddKnownTypes(autoscalingv1.SchemeGroupVersion, &autoscalingv1.Scale{})
	metav1.AddToGroupVersion(s, autoscalingv1.SchemeGroupVersion)
	utilruntime.Must(s.SetVersionPriority(autoscalingv2.SchemeGroupVersion, autoscalingv1.SchemeGroupVersion))
	for kind := range s.AllKnownTypes() {
		object, err := s.New(kind)
		utilruntime.Must(err)
		internal := schema.GroupVersionKind{Group: kind.Group, Version: runtime.APIVersionInternal, Kind: kind.Kind}
		if kind.Version != runtime.APIVersionInternal && !s.Recognizes(internal) {
			s.AddKnownTypeWithName(internal, object)
		}
	}
	addDefaults(s)
	addFieldLabels(s)
	return s
}

// addDefaults has the few defaults that a controller or an autoscaler would stumble over.
func addDefaults(s *runtime.Scheme) {
	s.AddTypeDefaultingFunc(&appsv1.Deployment{}, func(o any) { one(&o.(*appsv1.Deployment).Spec.Replicas) })
	s.AddTypeDefaultingFunc(&appsv1.ReplicaSet{}, func(o any) { one(&o.(*appsv1.ReplicaSet).Spec.Replicas) })
	s.AddTypeDefaultingFunc(&appsv1.StatefulSet{}, func(o any) { one(&o.(*appsv1.StatefulSet).Spec.Replicas) })
	s.AddTypeDefaultingFunc(&autoscalingv2.HorizontalPodAutoscaler{}, func(o any) {
		one(&o.(*autoscalingv2.HorizontalPodAutoscaler).Spec.MinReplicas)
	})
	s.AddTypeDefaultingFunc(&corev1.Pod{}, func(o any) {
		pod := o.(*corev1.Pod)
		if pod.Spec.TerminationGracePeriodSeconds == nil {
			pod.Spec.TerminationGracePeriodSeconds = ptr.To(int64(corev1.DefaultTerminationGracePeriodSeconds))
		}
	})
	s.AddTypeDefaultingFunc(&corev1.Service{}, func(o any) {
		service := o.(*corev1.Service)
		if service.Spec.Type == "" {
			service.Spec.Type = corev1.ServiceTypeClusterIP
		}
	})
}

func one(replicas **int32) {
	if *replicas == nil {
		*replicas = ptr.To(int32(1))
	}
}
