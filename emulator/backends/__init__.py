"""What lies behind virtual devices on the host: files of disks."""
