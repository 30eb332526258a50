"""What people are told without asking: how runs ended, and that a schedule is not kept. Read `notification` first."""
