"""What people read: documents of plain data, and tables of them."""
