"""What people see: tables, figures, maps."""
