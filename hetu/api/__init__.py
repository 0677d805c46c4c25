"""Building graphs by hand: values, operators, variables, gradients."""
