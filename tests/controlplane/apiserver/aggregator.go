package main

import (
	"fmt"
	"net/http"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apiserver"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/healthz"
	"k8s.io/apiserver/pkg/util/proxy"
	"k8s.io/client-go/tools/cache"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/kube-aggregator/pkg/apiserver"
	aggregatorscheme "k8s.io/kube-aggregator/pkg/apiserver/scheme"
	"k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset"
	listers "k8s.io/kube-aggregator/pkg/client/listers/apiregistration/v1"
	"k8s.io/kube-aggregator/pkg/controllers/autoregister"
)

// newAggregator stands before the others: it passes each group on to them, or to the server behind an APIService.
func newAggregator(
	o options, p *parts, builtin *genericapiserver.GenericAPIServer, crds *apiextensions.CustomResourceDefinitions,
) (*apiserver.APIAggregator, error) {
	codec := aggregatorscheme.Codecs.LegacyCodec(apiregistrationv1.SchemeGroupVersion)
	config, err := p.rest(codec, apiserver.DefaultAPIResourceConfigSource())
	if err != nil {
		return nil, err
	}
	config.SkipOpenAPIInstallation = true // it has its own, which merges those of all servers
	slices, err := proxy.NewEndpointSliceIndexerGetter(p.informers.Discovery().V1().EndpointSlices())
	if err != nil {
		return nil, err
	}
	aggregating := apiserver.Config{
		GenericConfig: &genericapiserver.RecommendedConfig{Config: config, SharedInformerFactory: p.informers},
		ExtraConfig: apiserver.ExtraConfig{
			ProxyClientCertFile: o.proxyCertFile,
			ProxyClientKeyFile:  o.proxyKeyFile,
			ServiceResolver: apiserver.NewEndpointServiceResolver(
				p.informers.Core().V1().Services().Lister(), slices),
		},
	}
	aggregator, err := aggregating.Complete().NewWithDelegate(builtin)
	if err != nil {
		return nil, err
	}
	return aggregator, register(aggregator, builtin, crds)
}

// register keeps an APIService for each group version that is served here, CustomResourceDefinitions included.
func register(
	aggregator *apiserver.APIAggregator, builtin *genericapiserver.GenericAPIServer,
	crds *apiextensions.CustomResourceDefinitions,
) error {
	client, err := clientset.NewForConfig(aggregator.GenericAPIServer.LoopbackClientConfig)
	if err != nil {
		return err
	}
	known := aggregator.APIRegistrationInformers.Apiregistration().V1().APIServices()
	registration := autoregister.NewAutoRegisterController(known, client.ApiregistrationV1())
	local := localVersions(builtin)
	for _, version := range local {
		registration.AddAPIServiceToSyncOnStart(apiServiceFor(version))
	}
	informer := crds.Informers.Apiextensions().V1().CustomResourceDefinitions()
	_, err = informer.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(object any) {
			for _, service := range servicesOf(object) {
				registration.AddAPIServiceToSync(service)
			}
		},
		UpdateFunc: func(_, object any) {
			for _, service := range servicesOf(object) {
				registration.AddAPIServiceToSync(service)
			}
		},
		DeleteFunc: func(object any) {
			for _, service := range servicesOf(object) {
				registration.RemoveAPIServiceToSync(service.Name)
			}
		},
	})
	if err != nil {
		return err
	}
	server := aggregator.GenericAPIServer
	server.AddPostStartHookOrDie("autoregistration", func(hook genericapiserver.PostStartHookContext) error {
		go registration.Run(1, hook.Done())
		return nil
	})
	return server.AddBootSequenceHealthChecks(healthz.NamedCheck("autoregistered", func(*http.Request) error {
		return registered(known.Lister(), local)
	}))
}

// localVersions are the group versions that the server lists as paths: /api/v1 and /apis/GROUP/VERSION.
func localVersions(server genericapiserver.DelegationTarget) []schema.GroupVersion {
	versions := []schema.GroupVersion{}
	for _, path := range server.ListedPaths() {
		words := strings.Split(path, "/")
		switch {
		case path == "/api/v1":
			versions = append(versions, schema.GroupVersion{Version: "v1"})
		case len(words) == 4 && words[1] == "apis":
			versions = append(versions, schema.GroupVersion{Group: words[2], Version: words[3]})
		}
	}
	return versions
}

func servicesOf(object any) []*apiregistrationv1.APIService {
	if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = gone.Obj
	}
	crd, ok := object.(*apiextensionsv1.CustomResourceDefinition)
	if !ok {
		return nil
	}
	services := []*apiregistrationv1.APIService{}
	for _, version := range crd.Spec.Versions {
		if version.Served {
			name := schema.GroupVersion{Group: crd.Spec.Group, Version: version.Name}
			services = append(services, apiServiceFor(name))
		}
	}
	return services
}

// apiServiceFor has no service to call: this server answers itself.
func apiServiceFor(version schema.GroupVersion) *apiregistrationv1.APIService {
	return &apiregistrationv1.APIService{
		ObjectMeta: metav1.ObjectMeta{Name: version.Version + "." + version.Group},
		Spec: apiregistrationv1.APIServiceSpec{
			Group: version.Group, Version: version.Version, GroupPriorityMinimum: 1000, VersionPriority: 100,
		},
	}
}

func registered(services listers.APIServiceLister, versions []schema.GroupVersion) error {
	for _, version := range versions {
		service, err := services.Get(version.Version + "." + version.Group)
		if err != nil {
			return err
		}
		if !available(service) {
			return fmt.Errorf("%s is not available yet", service.Name)
		}
	}
	return nil
}

func available(service *apiregistrationv1.APIService) bool {
	for _, condition := range service.Status.Conditions {
		if condition.Type == apiregistrationv1.Available {
			return condition.Status == apiregistrationv1.ConditionTrue
		}
	}
	return false
}
