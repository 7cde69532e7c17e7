"""AuthAdminService: the RPCs for people, a file for each kind of resource."""

from gateway.auth.v1 import admin_pb2_grpc
from services.auth.admin.admin_keys import AdminKeys
from services.auth.admin.api_keys import ApiKeys
from services.auth.admin.audit import Audit
from services.auth.admin.organizations import Organizations
from services.auth.admin.provider_keys import ProviderKeys
from services.auth.admin.status import Status
from services.auth.admin.users import Users


class AuthAdmin(
    Organizations,
    Users,
    ApiKeys,
    ProviderKeys,
    AdminKeys,
    Audit,
    Status,
    admin_pb2_grpc.AuthAdminServiceServicer,
):
    """Every RPC of the service; see ``services.auth.admin.desk.Desk`` for what it is made from."""
