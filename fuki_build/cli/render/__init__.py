"""What people see: tables, pictures, progress, errors."""
