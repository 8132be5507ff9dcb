"""Where campaigns keep their answers; see ``open_store`` and ``Store``."""

from __future__ import annotations

from netassay.store.records import Campaign as Campaign
from netassay.store.records import Presentation as Presentation
from netassay.store.store import Store as Store
from netassay.store.store import open_store as open_store
