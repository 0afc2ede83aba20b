"""All SQL of the generator: claims and ends of plans, the batch save, reads, and the upstream calls' records."""

from generator.repository.calls import CallRepository
from generator.repository.plans import PlanRepository
from generator.repository.saves import SaveRepository
from generator.repository.views import ViewRepository

__all__ = ["CallRepository", "PlanRepository", "SaveRepository", "ViewRepository"]
