"""Show the results of a query: matches, filters, crops, refined searches."""
