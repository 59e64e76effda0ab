package main

import (
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apiserver"
	apiextensionsoptions "k8s.io/apiextensions-apiserver/pkg/cmd/server/options"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/endpoints/filters"
	"k8s.io/apiserver/pkg/registry/rest"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/util/notfoundhandler"
	"k8s.io/apiserver/pkg/util/webhook"
)

// newExtensions serves CustomResourceDefinitions and what they define; nobody comes after it.
func newExtensions(p *parts) (*apiextensions.CustomResourceDefinitions, error) {
	codec := apiextensions.Codecs.LegacyCodec(apiextensionsv1.SchemeGroupVersion)
	config, err := p.rest(codec, apiextensions.DefaultAPIResourceConfigSource())
	if err != nil {
		return nil, err
	}
	extensions := apiextensions.Config{
		GenericConfig: &genericapiserver.RecommendedConfig{Config: config, SharedInformerFactory: p.informers},
		ExtraConfig: apiextensions.ExtraConfig{
			CRDRESTOptionsGetter: apiextensionsoptions.NewCRDRESTOptionsGetter(
				p.etcd, config.ResourceTransformers, config.StorageObjectCountTracker),
			MasterCount:     1,
			ServiceResolver: webhook.NewDefaultServiceResolver(),
			AuthResolverWrapper: webhook.NewDefaultAuthenticationInfoResolverWrapper(
				nil, nil, config.LoopbackClientConfig, config.TracerProvider),
		},
	}
	notFound := notfoundhandler.New(codecs, filters.NoMuxAndDiscoveryIncompleteKey)
	return extensions.Complete().New(genericapiserver.NewEmptyDelegateWithCustomHandler(notFound))
}

// newBuiltin serves the resources that Kubernetes has built in.
func newBuiltin(p *parts, next genericapiserver.DelegationTarget) (*genericapiserver.GenericAPIServer, error) {
	completed := p.config.Complete(p.informers)
	server, err := completed.New("builtin", next)
	if err != nil {
		return nil, err
	}
	groups, err := groupInfos(p)
	if err != nil {
		return nil, err
	}
	for _, info := range groups {
		if info.PrioritizedVersions[0].Group == "" {
			err = server.InstallLegacyAPIGroup(genericapiserver.DefaultLegacyAPIPrefix, info)
		} else {
			err = server.InstallAPIGroup(info)
		}
		if err != nil {
			return nil, err
		}
	}
	return server, nil
}

func groupInfos(p *parts) ([]*genericapiserver.APIGroupInfo, error) {
	infos := []*genericapiserver.APIGroupInfo{}
	byGroup := map[string]*genericapiserver.APIGroupInfo{}
	install := func(version schema.GroupVersion, endpoints map[string]rest.Storage) {
		info, ok := byGroup[version.Group]
		if !ok {
			created := genericapiserver.NewDefaultAPIGroupInfo(version.Group, scheme, parameterCodec, codecs)
			info = &created
			byGroup[version.Group] = info
			infos = append(infos, info)
		}
		if info.VersionedResourcesStorageMap[version.Version] == nil {
			info.VersionedResourcesStorageMap[version.Version] = map[string]rest.Storage{}
		}
		for path, endpoint := range endpoints {
			info.VersionedResourcesStorageMap[version.Version][path] = endpoint
		}
	}
	for _, r := range resources {
		endpoints, err := r.storage(p.config.RESTOptionsGetter)
		if err != nil {
			return nil, err
		}
		install(r.version, endpoints)
	}
	rules := p.config.Authorization.Authorizer
	install(authenticationv1.SchemeGroupVersion, map[string]rest.Storage{"tokenreviews": tokenReview(p.tokens)})
	install(authorizationv1.SchemeGroupVersion, map[string]rest.Storage{
		"subjectaccessreviews":     subjectAccessReview(rules),
		"selfsubjectaccessreviews": selfSubjectAccessReview(rules),
	})
	return infos, nil
}
