"""The types of ttypes.py, written by `python -m eventpub.schemas.generate`."""

from typing import Any

class User:
    thrift_spec: Any
    id: str | None
    is_logged_in: bool | None
    visitor_id: str | None
    created_timestamp: int | None
    roles: list[str] | None
    plan: str | None
    organization_id: str | None
    def __init__(
        self,
        id: str | None = None,
        is_logged_in: bool | None = None,
        visitor_id: str | None = None,
        created_timestamp: int | None = None,
        roles: list[str] | None = None,
        plan: str | None = None,
        organization_id: str | None = None,
    ) -> None: ...
    def read(self, iprot: Any) -> None: ...
    def write(self, oprot: Any) -> None: ...
    def validate(self) -> None: ...

class Request:
    thrift_spec: Any
    id: str | None
    method: str | None
    host: str | None
    path: str | None
    route: str | None
    status_code: int | None
    duration_ms: float | None
    user_agent: str | None
    client_address: str | None
    languages: list[str] | None
    trace_id: str | None
    def __init__(
        self,
        id: str | None = None,
        method: str | None = None,
        host: str | None = None,
        path: str | None = None,
        route: str | None = None,
        status_code: int | None = None,
        duration_ms: float | None = None,
        user_agent: str | None = None,
        client_address: str | None = None,
        languages: list[str] | None = None,
        trace_id: str | None = None,
    ) -> None: ...
    def read(self, iprot: Any) -> None: ...
    def write(self, oprot: Any) -> None: ...
    def validate(self) -> None: ...

class Device:
    thrift_spec: Any
    id: str | None
    type: str | None
    manufacturer: str | None
    model: str | None
    os_name: str | None
    os_version: str | None
    browser_name: str | None
    browser_version: str | None
    screen_width_px: int | None
    screen_height_px: int | None
    timezone: str | None
    def __init__(
        self,
        id: str | None = None,
        type: str | None = None,
        manufacturer: str | None = None,
        model: str | None = None,
        os_name: str | None = None,
        os_version: str | None = None,
        browser_name: str | None = None,
        browser_version: str | None = None,
        screen_width_px: int | None = None,
        screen_height_px: int | None = None,
        timezone: str | None = None,
    ) -> None: ...
    def read(self, iprot: Any) -> None: ...
    def write(self, oprot: Any) -> None: ...
    def validate(self) -> None: ...

class App:
    thrift_spec: Any
    name: str | None
    version: str | None
    build: str | None
    environment: str | None
    platform: str | None
    locale: str | None
    install_timestamp: int | None
    def __init__(
        self,
        name: str | None = None,
        version: str | None = None,
        build: str | None = None,
        environment: str | None = None,
        platform: str | None = None,
        locale: str | None = None,
        install_timestamp: int | None = None,
    ) -> None: ...
    def read(self, iprot: Any) -> None: ...
    def write(self, oprot: Any) -> None: ...
    def validate(self) -> None: ...

class Session:
    thrift_spec: Any
    id: str | None
    started_timestamp: int | None
    event_number: int | None
    is_first: bool | None
    def __init__(
        self,
        id: str | None = None,
        started_timestamp: int | None = None,
        event_number: int | None = None,
        is_first: bool | None = None,
    ) -> None: ...
    def read(self, iprot: Any) -> None: ...
    def write(self, oprot: Any) -> None: ...
    def validate(self) -> None: ...

class Referrer:
    thrift_spec: Any
    url: str | None
    domain: str | None
    source: str | None
    medium: str | None
    campaign: str | None
    term: str | None
    content: str | None
    def __init__(
        self,
        url: str | None = None,
        domain: str | None = None,
        source: str | None = None,
        medium: str | None = None,
        campaign: str | None = None,
        term: str | None = None,
        content: str | None = None,
    ) -> None: ...
    def read(self, iprot: Any) -> None: ...
    def write(self, oprot: Any) -> None: ...
    def validate(self) -> None: ...

class Geo:
    thrift_spec: Any
    country_code: str | None
    region_code: str | None
    city: str | None
    postal_code: str | None
    latitude: float | None
    longitude: float | None
    def __init__(
        self,
        country_code: str | None = None,
        region_code: str | None = None,
        city: str | None = None,
        postal_code: str | None = None,
        latitude: float | None = None,
        longitude: float | None = None,
    ) -> None: ...
    def read(self, iprot: Any) -> None: ...
    def write(self, oprot: Any) -> None: ...
    def validate(self) -> None: ...

class Experiment:
    thrift_spec: Any
    name: str | None
    variant: str | None
    version: str | None
    is_override: bool | None
    def __init__(
        self,
        name: str | None = None,
        variant: str | None = None,
        version: str | None = None,
        is_override: bool | None = None,
    ) -> None: ...
    def read(self, iprot: Any) -> None: ...
    def write(self, oprot: Any) -> None: ...
    def validate(self) -> None: ...

class Event:
    thrift_spec: Any
    source: str
    action: str
    noun: str
    client_timestamp: int | None
    uuid: str | None
    correlation_id: str | None
    noun_id: str | None
    user: User | None
    request: Request | None
    device: Device | None
    app: App | None
    session: Session | None
    referrer: Referrer | None
    geo: Geo | None
    experiments: list[Experiment] | None
    properties: dict[str, str] | None
    measurements: dict[str, float] | None
    def __init__(
        self,
        source: str = ...,
        action: str = ...,
        noun: str = ...,
        client_timestamp: int | None = None,
        uuid: str | None = None,
        correlation_id: str | None = None,
        noun_id: str | None = None,
        user: User | None = None,
        request: Request | None = None,
        device: Device | None = None,
        app: App | None = None,
        session: Session | None = None,
        referrer: Referrer | None = None,
        geo: Geo | None = None,
        experiments: list[Experiment] | None = None,
        properties: dict[str, str] | None = None,
        measurements: dict[str, float] | None = None,
    ) -> None: ...
    def read(self, iprot: Any) -> None: ...
    def write(self, oprot: Any) -> None: ...
    def validate(self) -> None: ...
