package main

import (
	"context"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	rbacinformers "k8s.io/client-go/informers/rbac/v1"
	rbaclisters "k8s.io/client-go/listers/rbac/v1"
)

// rbac allows what a bound Role or ClusterRole allows. Left out: aggregated ClusterRoles, and the check that
// nobody grants more than they have.
type rbac struct {
	roles           rbaclisters.RoleLister
	bindings        rbaclisters.RoleBindingLister
	clusterRoles    rbaclisters.ClusterRoleLister
	clusterBindings rbaclisters.ClusterRoleBindingLister
}

func newRBAC(informers rbacinformers.Interface) rbac {
	return rbac{
		informers.Roles().Lister(), informers.RoleBindings().Lister(),
		informers.ClusterRoles().Lister(), informers.ClusterRoleBindings().Lister(),
	}
}

func (r rbac) Authorize(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	bound, err := r.rules(a)
	if err != nil {
		return authorizer.DecisionNoOpinion, "", err
	}
	if slices.ContainsFunc(bound, func(rule rbacv1.PolicyRule) bool { return allows(rule, a) }) {
		return authorizer.DecisionAllow, "", nil
	}
	return authorizer.DecisionNoOpinion, "", nil
}

// rules are all that are bound to the user, for the cluster or for the namespace of the request.
func (r rbac) rules(a authorizer.Attributes) ([]rbacv1.PolicyRule, error) {
	found := []rbacv1.PolicyRule{}
	clusterBindings, err := r.clusterBindings.List(labels.Everything())
	if err != nil {
		return nil, err
	}
	for _, binding := range clusterBindings {
		if isSubject(a.GetUser(), binding.Subjects, "") {
			found = append(found, r.rulesOf("", binding.RoleRef)...)
		}
	}
	if a.GetNamespace() == "" {
		return found, nil
	}
	bindings, err := r.bindings.RoleBindings(a.GetNamespace()).List(labels.Everything())
	if err != nil {
		return nil, err
	}
	for _, binding := range bindings {
		if isSubject(a.GetUser(), binding.Subjects, binding.Namespace) {
			found = append(found, r.rulesOf(binding.Namespace, binding.RoleRef)...)
		}
	}
	return found, nil
}

// rulesOf a role that does not exist are none.
func (r rbac) rulesOf(namespace string, ref rbacv1.RoleRef) []rbacv1.PolicyRule {
	if ref.Kind == "Role" {
		if role, err := r.roles.Roles(namespace).Get(ref.Name); err == nil {
			return role.Rules
		}
	} else if role, err := r.clusterRoles.Get(ref.Name); err == nil {
		return role.Rules
	}
	return nil
}

func isSubject(who user.Info, subjects []rbacv1.Subject, namespace string) bool {
	return slices.ContainsFunc(subjects, func(subject rbacv1.Subject) bool {
		switch subject.Kind {
		case rbacv1.UserKind:
			return who.GetName() == subject.Name
		case rbacv1.GroupKind:
			return slices.Contains(who.GetGroups(), subject.Name)
		case rbacv1.ServiceAccountKind:
			if subject.Namespace != "" {
				namespace = subject.Namespace
			}
			return who.GetName() == serviceaccount.MakeUsername(namespace, subject.Name)
		}
		return false
	})
}

func allows(rule rbacv1.PolicyRule, a authorizer.Attributes) bool {
	if !has(rule.Verbs, a.GetVerb()) {
		return false
	}
	if !a.IsResourceRequest() {
		return slices.ContainsFunc(rule.NonResourceURLs, func(url string) bool {
			prefix, wild := strings.CutSuffix(url, "*")
			return url == a.GetPath() || wild && strings.HasPrefix(a.GetPath(), prefix)
		})
	}
	named := len(rule.ResourceNames) == 0 || slices.Contains(rule.ResourceNames, a.GetName())
	return named && has(rule.APIGroups, a.GetAPIGroup()) && hasResource(rule.Resources, a)
}

func hasResource(resources []string, a authorizer.Attributes) bool {
	if a.GetSubresource() == "" {
		return has(resources, a.GetResource())
	}
	return has(resources, a.GetResource()+"/"+a.GetSubresource()) ||
		slices.Contains(resources, "*/"+a.GetSubresource())
}

func has(words []string, word string) bool {
	return slices.Contains(words, "*") || slices.Contains(words, word)
}
