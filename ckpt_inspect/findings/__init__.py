"""What in a run deserves a person's attention.

A thread may be importing this while another imports one of its modules: nothing is imported here, or each could wait
for what the other holds (`runs.importing`).
"""
