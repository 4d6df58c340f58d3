"""What a running server tells of itself: metrics, spans and logs; none of them holds what anybody asked."""
