"""Kubernetes' own judgement of tokens and rights: TokenReview and SubjectAccessReview."""

from __future__ import annotations

from autoscaler.kube.client.api import Api, Object
from autoscaler.ports.identity import Access, User

_TOKENS = "authentication.k8s.io/v1"
_RIGHTS = "authorization.k8s.io/v1"


class KubeReviews:
    """``ports.identity.Reviews`` over the API server; nothing is remembered here."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def authenticate(self, token: str) -> User | None:
        """See ``ports.identity.Reviews.authenticate``."""
        review = {"apiVersion": _TOKENS, "kind": "TokenReview", "spec": {"token": token}}
        status = self._api.create(f"/apis/{_TOKENS}/tokenreviews", review).get("status") or {}
        user = status.get("user") or {}
        if status.get("authenticated") is not True or not user.get("username"):
            return None
        extra = {key: tuple(values) for key, values in (user.get("extra") or {}).items()}
        groups = tuple(user.get("groups") or ())
        return User(user["username"], groups, user.get("uid", ""), tuple(sorted(extra.items())))

    def authorize(self, user: User, access: Access) -> bool:
        """See ``ports.identity.Reviews.authorize``."""
        spec: Object = {
            "user": user.name,
            "groups": list(user.groups),
            "uid": user.uid,
            "extra": {key: list(values) for key, values in user.extra},
            **_attributes(access),
        }
        review = {"apiVersion": _RIGHTS, "kind": "SubjectAccessReview", "spec": spec}
        status = self._api.create(f"/apis/{_RIGHTS}/subjectaccessreviews", review).get("status") or {}
        return status.get("allowed") is True and status.get("denied") is not True


def _attributes(access: Access) -> Object:
    if access.path:
        return {"nonResourceAttributes": {"path": access.path, "verb": access.verb}}
    names = ("verb", "group", "version", "namespace", "resource", "subresource", "name")
    return {"resourceAttributes": {name: getattr(access, name) for name in names}}
