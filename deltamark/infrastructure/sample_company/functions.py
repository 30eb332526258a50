"""The functions of the company, with their teams and job titles."""

from __future__ import annotations

from attrs import frozen

TEAMS_EACH = 6


@frozen
class Function:
    """A function such as Finance, the title of its head, its teams and the titles of the people in it."""

    name: str
    chief: str
    teams: tuple[str, str, str, str, str, str]
    work: tuple[str, ...]


FUNCTIONS = (
    Function(
        "Finance",
        "Chief Financial Officer",
        ("Accounting", "Controlling", "Treasury", "Tax", "Internal Audit", "Investor Relations"),
        ("Accountant", "Controller", "Financial Analyst", "Auditor"),
    ),
    Function(
        "Research & Development",
        "Chief Technology Officer",
        ("Product Design", "Materials", "Electronics", "Prototyping", "Test Laboratory", "Patents"),
        ("Engineer", "Designer", "Researcher", "Laboratory Technician"),
    ),
    Function(
        "Production",
        "Chief Operating Officer",
        ("Assembly", "Planning", "Maintenance", "Quality", "Tooling", "Safety"),
        ("Technician", "Operator", "Production Planner", "Quality Inspector"),
    ),
    Function(
        "Sales",
        "Chief Sales Officer",
        ("Key Accounts", "Field Sales", "Inside Sales", "Tenders", "Partners", "Pricing"),
        ("Account Manager", "Sales Representative", "Sales Engineer", "Pricing Analyst"),
    ),
    Function(
        "Information Technology",
        "Chief Information Officer",
        ("Service Desk", "Networks", "Applications", "Data Platform", "Security", "Workplace"),
        ("Software Developer", "System Administrator", "Data Engineer", "Support Specialist"),
    ),
    Function(
        "Human Resources",
        "Chief People Officer",
        ("Recruiting", "Payroll", "Learning", "Compensation", "Employee Relations", "Diversity"),
        ("HR Partner", "Recruiter", "Payroll Specialist", "Trainer"),
    ),
    Function(
        "Logistics",
        "Chief Supply Chain Officer",
        ("Purchasing", "Warehouse", "Transport", "Customs", "Packaging", "Returns"),
        ("Buyer", "Warehouse Clerk", "Dispatcher", "Logistics Analyst"),
    ),
    Function(
        "Customer Care",
        "Chief Customer Officer",
        ("Hotline", "Field Service", "Spare Parts", "Complaints", "Training Centre", "Customer Success"),
        ("Service Agent", "Field Engineer", "Customer Success Manager", "Trainer"),
    ),
    Function(
        "Marketing",
        "Chief Marketing Officer",
        ("Brand", "Digital", "Events", "Market Research", "Press Office", "Content"),
        ("Marketing Specialist", "Copywriter", "Market Analyst", "Event Manager"),
    ),
    Function(
        "Legal",
        "General Counsel",
        ("Contracts", "Compliance", "Data Protection", "Litigation", "Licensing", "Corporate Affairs"),
        ("Counsel", "Paralegal", "Compliance Officer", "Contract Manager"),
    ),
)

GRADES = ("Junior ", "", "Senior ", "Principal ")
BOARD = "Executive Board"
TOP_TITLE = "Chief Executive Officer"
