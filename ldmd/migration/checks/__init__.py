"""What each rule of a migration looks at, one module for each subject; `ldmd.migration.rules` has the table."""
