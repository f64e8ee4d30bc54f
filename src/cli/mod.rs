//! The command line: raw arguments, one file a subcommand, and the only place besides `report/` that prints.
