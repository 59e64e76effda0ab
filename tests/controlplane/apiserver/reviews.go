package main

import (
	"context"
	"fmt"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
)

// review is a question that is answered and not stored.
type review struct {
	empty  runtime.Object
	answer func(context.Context, runtime.Object) error
}

func (r review) New() runtime.Object { return r.empty.DeepCopyObject() }
func (review) Destroy()              {}
func (review) NamespaceScoped() bool { return false }
func (r review) GetSingularName() string {
	return strings.ToLower(strings.SplitN(fmt.Sprintf("%T", r.empty), ".", 2)[1])
}

func (r review) Create(
	ctx context.Context, object runtime.Object, validate rest.ValidateObjectFunc, _ *metav1.CreateOptions,
) (runtime.Object, error) {
	if err := validate(ctx, object.DeepCopyObject()); err != nil {
		return nil, err
	}
	return object, r.answer(ctx, object)
}

func tokenReview(tokens authenticator.Token) review {
	return review{&authenticationv1.TokenReview{}, func(ctx context.Context, object runtime.Object) error {
		asked := object.(*authenticationv1.TokenReview)
		response, ok, err := tokens.AuthenticateToken(ctx, asked.Spec.Token)
		asked.Status.Authenticated = ok
		if err != nil {
			asked.Status.Error = err.Error()
		}
		if ok {
			asked.Status.User = authenticationv1.UserInfo{
				Username: response.User.GetName(), UID: response.User.GetUID(),
				Groups: append(response.User.GetGroups(), user.AllAuthenticated),
			}
		}
		return nil
	}}
}

func subjectAccessReview(rules authorizer.Authorizer) review {
	return review{&authorizationv1.SubjectAccessReview{}, func(ctx context.Context, object runtime.Object) error {
		asked := object.(*authorizationv1.SubjectAccessReview)
		who := &user.DefaultInfo{Name: asked.Spec.User, UID: asked.Spec.UID, Groups: asked.Spec.Groups}
		status, err := access(ctx, rules, who, asked.Spec.ResourceAttributes, asked.Spec.NonResourceAttributes)
		asked.Status = status
		return err
	}}
}

func selfSubjectAccessReview(rules authorizer.Authorizer) review {
	return review{&authorizationv1.SelfSubjectAccessReview{}, func(ctx context.Context, object runtime.Object) error {
		asked := object.(*authorizationv1.SelfSubjectAccessReview)
		who, _ := request.UserFrom(ctx)
		status, err := access(ctx, rules, who, asked.Spec.ResourceAttributes, asked.Spec.NonResourceAttributes)
		asked.Status = status
		return err
	}}
}

func access(
	ctx context.Context, rules authorizer.Authorizer, who user.Info,
	resource *authorizationv1.ResourceAttributes, path *authorizationv1.NonResourceAttributes,
) (authorizationv1.SubjectAccessReviewStatus, error) {
	record := authorizer.AttributesRecord{User: who}
	switch {
	case resource != nil:
		record.ResourceRequest = true
		record.Verb, record.Namespace, record.Name = resource.Verb, resource.Namespace, resource.Name
		record.APIGroup, record.APIVersion = resource.Group, resource.Version
		record.Resource, record.Subresource = resource.Resource, resource.Subresource
	case path != nil:
		record.Verb, record.Path = path.Verb, path.Path
	default:
		return authorizationv1.SubjectAccessReviewStatus{}, apierrors.NewBadRequest(
			"spec: one of resourceAttributes and nonResourceAttributes is needed")
	}
	decision, reason, err := rules.Authorize(ctx, record)
	status := authorizationv1.SubjectAccessReviewStatus{Allowed: decision == authorizer.DecisionAllow, Reason: reason}
	if err != nil {
		status.EvaluationError = err.Error()
	}
	return status, nil
}
