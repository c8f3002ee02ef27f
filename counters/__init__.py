"""Stub"""
