"""What an installation in containers needs before its first start: passwords, keys, certificates, who may do what.

Everything here may be done again: what is there stays, what is missing is made.
"""
