from __future__ import annotations

import pytest

from auth import (
    OPEN_PERMISSIONS,
    ROLES,
    Forbidden,
    Permission,
    Policy,
    Principal,
    PrincipalKind,
    Visibility,
)


def holding(*permissions: Permission) -> Principal:
    return Principal("token:1", "one", PrincipalKind.TOKEN, frozenset(permissions))


def test_who_may_read_sees_all_studies() -> None:
    assert Policy().visibility(holding(Permission.STUDIES_READ)) is Visibility.ALL


def test_who_may_not_read_sees_none() -> None:
    visible = Policy().visibility(holding(Permission.STUDIES_STORE))
    assert visible.is_none
    assert not visible.is_all


def test_labels_are_neither_all_nor_none() -> None:
    some = Visibility(frozenset({"teaching"}))
    assert not some.is_all
    assert not some.is_none


@pytest.mark.parametrize("permission", list(Permission))
def test_a_permission_is_needed_by_its_own_name(permission: Permission) -> None:
    Policy().require(holding(permission), permission)
    with pytest.raises(Forbidden) as caught:
        Policy().require(holding(*(set(Permission) - {permission})), permission)
    assert caught.value.permission is permission
    assert permission.value in str(caught.value)


def test_the_operator_of_the_machine_may_do_everything() -> None:
    operator = Principal.operator()
    assert operator.permissions == frozenset(Permission)
    assert operator.id == f"operator:{operator.name}"


def test_where_nobody_is_asked_nothing_can_be_handed_out() -> None:
    anonymous = Principal.anonymous()
    assert anonymous.may(Permission.STUDIES_READ)
    assert anonymous.may(Permission.STUDIES_STORE)
    assert not OPEN_PERMISSIONS & {
        Permission.ARCHIVE_VERIFY,
        Permission.STUDIES_DELETE,
        Permission.TOKENS_MANAGE,
    }


def test_only_curators_and_administrators_delete() -> None:
    may = {role for role, allowed in ROLES.items() if Permission.STUDIES_DELETE in allowed}
    assert may == {"curator", "admin"}


def test_a_monitor_sees_figures_and_no_patient() -> None:
    assert ROLES["monitor"] == {Permission.METRICS_READ}


def test_a_contributor_may_what_a_reader_may() -> None:
    assert ROLES["reader"] < ROLES["contributor"] < ROLES["admin"]
