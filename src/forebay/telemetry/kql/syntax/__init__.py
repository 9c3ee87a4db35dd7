"""The text of a query into its syntax tree."""
