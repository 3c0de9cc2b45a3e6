//! VPC flow-log records: windows, formats, lines and file names, as the VPC documents them.
