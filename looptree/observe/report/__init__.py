"""A page of HTML about a run, or about several beside each other: `report(Run("runs/first")).save("report.html")`."""

from looptree.observe.report.page import CannotReport, Page, report

__all__ = ["CannotReport", "Page", "report"]
