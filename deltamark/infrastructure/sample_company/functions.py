"""The functions of the company, with their teams and job titles."""

from __future__ import annotations

from attrs import frozen

TEAMS_EACH = 6


@frozen
class JobFunction:
    """A function such as Finance: the title of its head, its teams and their titles."""

    name: str
    chief: str
    teams: tuple[str, str, str, str, str, str]
    work: tuple[str, ...]


FUNCTIONS = (
    JobFunction(
        "Finance",
        "Chief Financial Officer",
        ("Accounting", "Controlling", "Treasury", "Tax", "Internal Audit", "Investor Relations"),
        ("Accountant", "Controller", "Financial Analyst", "Auditor"),
    ),
    JobFunction(
        "Research & Development",
        "Chief Technology Officer",
        ("Product Design", "Materials", "Electronics", "Prototyping", "Test Laboratory", "Patents"),
        ("Engineer", "Designer", "Researcher", "Laboratory Technician"),
    ),
    JobFunction(
        "Production",
        "Chief Operating Officer",
        ("Assembly", "Planning", "Maintenance", "Quality", "Tooling", "Safety"),
        ("Technician", "Operator", "Production Planner", "Quality Inspector"),
    ),
    JobFunction(
        "Sales",
        "Chief Sales Officer",
        ("Key Accounts", "Field Sales", "Inside Sales", "Tenders", "Partners", "Pricing"),
        ("Account Manager", "Sales Representative", "Sales Engineer", "Pricing Analyst"),
    ),
    JobFunction(
        "Information Technology",
        "Chief Information Officer",
        ("Service Desk", "Networks", "Applications", "Data Platform", "Security", "Workplace"),
        ("Software Developer", "System Administrator", "Data Engineer", "Support Specialist"),
    ),
    JobFunction(
        "Human Resources",
        "Chief People Officer",
        ("Recruiting", "Payroll", "Learning", "Compensation", "Employee Relations", "Diversity"),
        ("HR Partner", "Recruiter", "Payroll Specialist", "Trainer"),
    ),
    JobFunction(
        "Logistics",
        "Chief Supply Chain Officer",
        ("Purchasing", "Warehouse", "Transport", "Customs", "Packaging", "Returns"),
        ("Buyer", "Warehouse Clerk", "Dispatcher", "Logistics Analyst"),
    ),
    JobFunction(
        "Customer Care",
        "Chief Customer Officer",
        ("Hotline", "Field Service", "Spare Parts", "Complaints", "Training Centre", "Customer Success"),
        ("Service Agent", "Field Engineer", "Customer Success Manager", "Trainer"),
    ),
    JobFunction(
        "Marketing",
        "Chief Marketing Officer",
        ("Brand", "Digital", "Events", "Market Research", "Press Office", "Content"),
        ("Marketing Specialist", "Copywriter", "Market Analyst", "Event Manager"),
    ),
    JobFunction(
        "Legal",
        "General Counsel",
        ("Contracts", "Compliance", "Data Protection", "Litigation", "Licensing", "Corporate Affairs"),
        ("Counsel", "Paralegal", "Compliance Officer", "Contract Manager"),
    ),
)

GRADES = ("Junior ", "", "Senior ", "Principal ")
BOARD = "Executive Board"
TOP_TITLE = "Chief Executive Officer"
