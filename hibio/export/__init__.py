"""A trained model over sections that it has not seen, their results written as they come.

The last step of the data's way: `sections` goes through them, `section` through the windows of one,
`results` says under which names everything lies, in memory or in a file.
"""
